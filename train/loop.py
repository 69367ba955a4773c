"""The page that everyone reads: one training from its first step, or its last, to the end."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_resnet import transfer
from train import devices, pipeline, publishing, schedules, state, statistics, steps, workdirs
from train.evaluate import evaluate
from train.journal import Diverged, Journal, Profile, Scalars
from train.pipeline import Data
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
    precision: str = "float32"
    jit_compile: bool = False
    profile: int = 0
    deterministic: bool = False


def fit(data: Data, run: Run) -> Scalars:
    """Trains a network to the end of the data's recipe, resuming where it last stopped.

    Returns:
        The evaluation of the trained network: top1 and top5 (percent), loss, examples.

    Raises:
        Stopped: after SIGTERM or SIGINT, once the state is saved.
        Diverged: if the loss or a weight is no number any more.
        ValueError: if a checkpoint in the workdir is of another training, or all are damaged.
    """
    recipe, scaled = data.recipe, run.precision == "float16"
    trained = state.create(data, run.strategy, run.workdir / "checkpoints", scaled=scaled)
    first = trained.restore_latest(partial(publishing.best_until, run.workdir))
    if trained.chief:
        workdirs.claim(run.workdir, recipe)  # not before its checkpoints turn out to fit
    journal = Journal(run.workdir, data, first, writes=trained.chief)
    journal.headline(trained.model, run.strategy, run.precision, jit_compile=run.jit_compile)
    learning_rate = schedules.learning_rate(recipe)
    batches = pipeline.distribute(run.strategy, data.train_batches(first), data.broken)
    train_step, measure = _train_step(trained, data, run), _measure(trained, data, journal)
    anyone, profile = devices.agreement(run.strategy), Profile(run.workdir, first, run.profile)

    with _signals() as received, profile:
        numbered = zip(range(first + 1, recipe.steps + 1), batches, strict=False)
        for step, (images, targets) in numbered:
            profile.at(step)
            rate = learning_rate(step - 1) * trained.warmup.factor
            metrics = train_step(recipe.frozen(step))(images, targets, tf.constant(rate))
            if run.deterministic:  # or a stop would average sooner than a run that goes on
                trained.average_statistics()
            trained.warmup.observe(metrics["accuracy"])
            journal.train(step, metrics, rate)
            stop, best = anyone(bool(received)), False
            if step % recipe.eval_every == 0 and step < recipe.steps:
                journal.check()
                with trained.averaged():
                    best = _observe(trained, data, run, step, measure(step, data.eval_split))
            if step % recipe.save_every == 0 or step == recipe.steps or best or stop:
                journal.check()
                _save(trained, step, rate)
            if stop:
                raise Stopped(step, (received or [signal.SIGTERM])[0])
    return _finish(trained, data, run, measure)


def _save(trained: TrainState, step: int, rate: float) -> None:
    try:
        trained.save(step)
    except FloatingPointError as error:  # the loss is of the weights before the step
        raise Diverged(step, str(error), rate) from error


Measure = Callable[[int, str], Scalars]


def _train_step(
    trained: TrainState, data: Data, run: Run
) -> Callable[[tuple[str, ...]], steps.TrainStep]:
    """Returns what gives the step that leaves these parts of the network as they are."""

    @cache
    def step(frozen: tuple[str, ...]) -> steps.TrainStep:
        transfer.freeze(trained.model, frozen)
        return steps.train_step(
            run.strategy, trained.model, trained.update, data.recipe, jit_compile=run.jit_compile
        )

    return step


def _measure(trained: TrainState, data: Data, journal: Journal) -> Measure:
    """Returns what evaluates the network, as it is after a step, on a split."""
    eval_step = steps.eval_step(trained.strategy, trained.model)

    def measure(step: int, split: str) -> Scalars:
        batches = pipeline.distribute(trained.strategy, data.eval_batches(split), data.broken)
        result = evaluate(eval_step, batches)
        journal.evaluation(step, split, result, trained.model)
        return result

    return measure


def _observe(trained: TrainState, data: Data, run: Run, step: int, result: Scalars) -> bool:
    """Returns whether the network is the best so far, and has worker 0 publish it then."""
    better = trained.observe(step, result["top1"])
    if better and trained.chief:
        publishing.best(trained.model, data, run.workdir, step, result["top1"])
    return better


def _finish(trained: TrainState, data: Data, run: Run, measure: Measure) -> Scalars:
    """Measures the trained network, and has worker 0 publish it."""
    recipe = data.recipe
    with trained.averaged() as model:
        if recipe.precise_bn:
            chosen = data.train_batches(recipe.steps)
            batches = pipeline.distribute(run.strategy, chosen, data.broken)
            statistics.precise(run.strategy, model, batches, recipe.precise_bn)
        splits = dict.fromkeys([data.eval_split, "test"])
        results = {split: measure(recipe.steps, split) for split in splits}
        _observe(trained, data, run, recipe.steps, results[data.eval_split])
        if trained.chief:
            publishing.final(model, data, run.workdir, results["test"])
    devices.agreement(run.strategy)(False)  # nobody leaves before all is written
    return results["test"]


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
