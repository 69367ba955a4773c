"""The page that everyone reads: one training from its first step, or its last, to the end."""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import tensorflow as tf

from keras_resnet import transfer
from train.datasets import batches as pipeline
from train.datasets.batches import Data
from train.evaluate import evaluate
from train.log.journal import Diverged, Journal, Profile, Scalars
from train.optimize import schedules, statistics, steps
from train.run import checkpoints, devices, interruption, kept, memory, publishing, state, workdirs
from train.run.state import TrainState


class Stopped(Exception):
    """A signal asked the process to end, and its state is on disk as far as there was room."""

    def __init__(self, step: int, saved: int, number: int) -> None:
        super().__init__(interruption.farewell(step, saved))
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

    @property
    def checkpoints(self) -> Path:
        return self.workdir / checkpoints.FOLDER


def fit(data: Data, run: Run) -> Scalars:
    """Trains a network to the end of the data's recipe, resuming where it last stopped.

    Returns:
        The evaluation of the trained network: top1 and top5 (percent), loss, examples.

    Raises:
        Stopped: after SIGTERM or SIGINT, once the state is saved.
        Diverged: if the loss or a weight is no number any more.
        ValueError: if a checkpoint in the workdir is of another training, or all are damaged; and
            if a step cannot fit into memory.
    """
    recipe, scaled = data.recipe, run.precision == "float16"
    trained = state.create(data, run.strategy, run.checkpoints, scaled=scaled)
    memory.check(trained, recipe, data.train_shape, compiled=run.jit_compile)
    first = trained.restore_latest(partial(publishing.best_until, run.workdir))
    journal = _begun(trained, data, run, first)
    learning_rate = schedules.learning_rate(recipe)
    batches = pipeline.distribute(run.strategy, data.train_batches(first), data.broken)
    train_step, measure = _train_step(trained, data, run), _measure(trained, data, journal)
    anyone, profile = devices.agreement(run.strategy), Profile(run.workdir, first, run.profile)
    if anyone(journal.lacks(first)):
        _observe(trained, data, run, first, measure)

    with profile:
        numbered = zip(range(first + 1, recipe.steps + 1), batches, strict=False)
        for step, (images, targets) in numbered:
            profile.at(step)
            rate = learning_rate(step - 1) * trained.warmup.factor
            metrics = train_step(recipe.frozen(step))(images, targets, tf.constant(rate))
            interruption.unsaved()
            if run.deterministic:  # or a stop would average sooner than a run that goes on
                trained.average_statistics()
            trained.warmup.observe(metrics["accuracy"])
            journal.train(step, metrics, rate)
            stop = anyone(interruption.asked() is not None)
            measured = step % recipe.eval_every == 0 and step < recipe.steps
            if measured or step % recipe.save_every == 0 or step == recipe.steps or stop:
                journal.check()
                stop |= _save(trained, run, step, rate)
            if stop:
                saved = max(checkpoints.steps(run.checkpoints), default=0)
                raise Stopped(step, saved, interruption.asked() or signal.SIGTERM)
            if measured:
                _observe(trained, data, run, step, measure)
    return _finish(trained, data, run, measure)


def _begun(trained: TrainState, data: Data, run: Run, first: int) -> Journal:
    """Takes the workdir for this run, after step `first`, and says what begins or goes on."""
    interruption.renew()
    interruption.saved(first)
    changed: list[str] = []
    if trained.chief:  # not before its checkpoints turn out to fit
        changed = workdirs.claim(run.workdir, data.recipe, first)
        if not first or not kept.read(run.workdir):
            kept.write(run.workdir, data)
    journal = Journal(run.workdir, data, first, writes=trained.chief)
    journal.headline(trained.model, run.strategy, run.precision, jit_compile=run.jit_compile)
    journal.resumes(first, changed)
    return journal


def _save(trained: TrainState, run: Run, step: int, rate: float) -> bool:
    """Saves the state. From then on a signal ends the process at once, unless others depend on it.

    Returns:
        whether a signal came until then, in a run that need not ask other workers.
    """
    try:
        whole = trained.save(step)
    except FloatingPointError as error:  # the loss is of the weights before the step
        raise Diverged(step, str(error), rate) from error
    if not whole or devices.workers(run.strategy)[1] > 1:
        return False
    interruption.saved(step)
    return interruption.asked() is not None


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


def _observe(trained: TrainState, data: Data, run: Run, step: int, measure: Measure) -> None:
    """Measures the network, and has worker 0 publish it if it is the best so far."""
    with trained.averaged():
        _rank(trained, data, run, step, measure(step, data.eval_split))


def _rank(trained: TrainState, data: Data, run: Run, step: int, result: Scalars) -> None:
    if trained.observe(step, result["top1"]) and trained.chief:
        publishing.best(trained.model, data, run.workdir, step, result["top1"])


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
        _rank(trained, data, run, recipe.steps, results[data.eval_split])
        if trained.chief:
            publishing.final(model, data, run.workdir, results["test"])
    devices.agreement(run.strategy)(False)  # nobody leaves before all is written
    return results["test"]
