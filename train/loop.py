"""The page that everyone reads: one training from its first step, or its last, to the end."""

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_resnet import weights
from keras_resnet.manifest import Manifest
from train import pipeline, schedules, state, steps
from train.evaluate import evaluate
from train.journal import Journal, Scalars
from train.pipeline import Data
from train.state import TrainState


class Stopped(Exception):
    """The process was asked to end, and its state is on disk."""


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
    batches = pipeline.distribute(run.strategy, data.train_batches(first))
    train_step = steps.train_step(
        run.strategy, trained.model, trained.optimizer, recipe, jit_compile=run.jit_compile
    )

    with _stop_requests() as stop:
        for step, batch in zip(range(first + 1, recipe.steps + 1), batches, strict=False):
            rate = learning_rate(step - 1) * trained.warmup.factor
            trained.optimizer.learning_rate.assign(rate)
            metrics = train_step(*batch)
            trained.warmup.observe(metrics["accuracy"])
            journal.train(step, metrics, rate)
            if step % recipe.eval_every == 0 and step < recipe.steps:
                journal.evaluation(step, data.eval_split, _evaluate(trained, data, data.eval_split))
            if step % recipe.save_every == 0 or step == recipe.steps or stop.is_set():
                trained.save(step)
            if stop.is_set():
                raise Stopped(f"stopped after step {step}; the same command goes on from there")
    result = _evaluate(trained, data, "test")
    journal.evaluation(recipe.steps, "test", result)
    _publish(trained, data, run.workdir, result)
    return result


def _evaluate(trained: TrainState, data: Data, split: str) -> Scalars:
    steps.average_statistics(trained.strategy, trained.model)
    batches = pipeline.distribute(trained.strategy, data.eval_batches(split))
    return evaluate(trained.strategy, trained.model, batches)


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
def _stop_requests() -> Iterator[threading.Event]:
    """Turns the first SIGTERM or SIGINT into an event; a second one acts as usual."""
    stop = threading.Event()
    usual: dict[int, Any] = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}

    def request(number: int, _: object) -> None:
        signal.signal(number, usual[number])
        stop.set()

    for number in usual:
        signal.signal(number, request)
    try:
        yield stop
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
