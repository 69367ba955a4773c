"""The page that everyone reads: one training from its first step, or its last, to the end."""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_resnet import transfer, weights
from keras_resnet.manifest import Manifest
from train import pipeline, schedules, state, steps
from train.evaluate import evaluate
from train.journal import Journal, Scalars
from train.pipeline import Data
from train.recipe import Recipe
from train.state import TrainState


class Stopped(Exception):
    """The process was asked to end by a signal, and its state is on disk."""

    def __init__(self, step: int, number: int) -> None:
        super().__init__(f"stopped after step {step}; the same command goes on from there")
        self.exit_code = 128 + number


@dataclass(frozen=True)
class Run:
    """The place where a recipe is followed."""

    workdir: Path
    strategy: tf.distribute.Strategy
    jit_compile: bool = False


def fit(data: Data, run: Run) -> Scalars:
    """Trains a network to the end of the data's recipe, resuming where it last stopped.

    Returns:
        The evaluation of the trained network: top1 and top5 (percent), loss, examples.

    Raises:
        Stopped: after SIGTERM or SIGINT, once the state is saved.
        ValueError: if a checkpoint in the workdir is of another training.
    """
    recipe = data.recipe
    trained = state.create(data, run.strategy, run.workdir / "checkpoints")
    first = trained.restore_latest()
    journal = Journal(run.workdir, recipe, first)
    learning_rate = schedules.learning_rate(recipe)
    eval_step = steps.eval_step(run.strategy, trained.model)
    batches = pipeline.distribute(run.strategy, data.train_batches(first))
    train_step = _train_step(trained, recipe, run)

    def measure(step: int, split: str) -> Scalars:
        trained.average_statistics()
        result = evaluate(eval_step, pipeline.distribute(run.strategy, data.eval_batches(split)))
        journal.evaluation(step, split, result)
        return result

    with _signals() as received:
        for step, batch in zip(range(first + 1, recipe.steps + 1), batches, strict=False):
            rate = learning_rate(step - 1) * trained.warmup.factor
            trained.optimizer.learning_rate.assign(rate)
            metrics = train_step(recipe.frozen(step))(*batch)
            trained.warmup.observe(metrics["accuracy"])
            journal.train(step, metrics, rate)
            if step % recipe.eval_every == 0 and step < recipe.steps:
                measure(step, data.eval_split)
            if step % recipe.save_every == 0 or step == recipe.steps or received:
                trained.save(step)
            if received:
                raise Stopped(step, received[0])
    result = measure(recipe.steps, "test")
    _publish(trained, data, run.workdir, result)
    return result


def _train_step(
    trained: TrainState, recipe: Recipe, run: Run
) -> Callable[[tuple[str, ...]], steps.TrainStep]:
    """Returns what gives the step that leaves these parts of the network as they are."""

    @cache
    def step(frozen: tuple[str, ...]) -> steps.TrainStep:
        transfer.freeze(trained.model, frozen)
        return steps.train_step(
            run.strategy, trained.model, trained.optimizer, recipe, jit_compile=run.jit_compile
        )

    return step


def _publish(trained: TrainState, data: Data, workdir: Path, result: Scalars) -> None:
    """Writes the weights with everything that evaluation and export need to know of them."""
    recipe = data.recipe
    manifest = Manifest(
        recipe.network,
        data.image_shape,
        data.labels,
        data.preprocessing,
        recipe.fields,
        {"recipe": json.loads(recipe.to_json()), "result": result},
    )
    for name in ("final.weights.h5", "final.keras"):
        weights.save(trained.model, workdir / name, manifest)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collects the first SIGTERM or SIGINT in a list; a second one acts as usual."""
    received: list[int] = []
    usual: dict[int, Any] = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}

    def receive(number: int, _: object) -> None:
        signal.signal(number, usual[number])
        received.append(number)

    for number in usual:
        signal.signal(number, receive)
    try:
        yield received
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
