"""The page that everyone reads: one training from its first step, or its last, to the end."""

import signal
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import tensorflow as tf

from keras_resnet import transfer
from keras_resnet.console import progress
from train import curves
from train.datasets.batches import distribute
from train.log.journal import Diverged, Journal, Pace
from train.log.profile import Profile
from train.log.start_line import start_line
from train.optimize import statistics, steps
from train.recipes import plan
from train.recipes.data import Data
from train.run import (
    checkpoints,
    data_file,
    devices,
    files,
    interruption,
    memory,
    publishing,
    starts,
    workdirs,
)
from train.run.state import TrainState, create
from train.tasks.evaluation import evaluate
from train.tasks.task import Scalars


class Stopped(Exception):
    """A signal asked the process to end; its state is on disk if there was room."""

    def __init__(self, step: int, saved: int, number: int) -> None:
        super().__init__(interruption.farewell(step, saved))
        self.exit_code = 128 + number


@dataclass(frozen=True)
class Run:
    """The place where a recipe is followed.

    Attributes:
        workdir: where the run writes, and from where it resumes.
        strategy: whose replicas share each batch.
        precision: of activations: "float32", "bfloat16" or "float16".
        jit_compile: whether XLA compiles the step.
        profile: number of steps to record for TensorBoard's profiler.
        deterministic: whether the same seed has to give the same weights.
    """

    workdir: Path
    strategy: tf.distribute.Strategy
    precision: str = "float32"
    jit_compile: bool = False
    profile: int = 0
    deterministic: bool = False

    @property
    def checkpoints(self) -> Path:
        return self.workdir / files.CHECKPOINTS


@dataclass(frozen=True)
class Training:
    """A run that goes on: data, place, state and journal."""

    data: Data
    run: Run
    state: TrainState
    journal: Journal


def fit(data: Data, run: Run) -> Scalars:
    """Trains a network to the end of the data's recipe, resuming where it last stopped.

    Returns:
        The metrics of the trained network on the test split.

    Raises:
        Stopped: after SIGTERM or SIGINT, once the state is saved.
        Diverged: if loss or a weight becomes NaN or infinite.
        ValueError: if a checkpoint in the workdir is of another training, or all are damaged; and
            if a step cannot fit into memory.
    """
    recipe = data.recipe
    with progress.shown("building the network", say=devices.is_chief(run.strategy)):
        state = create(data, run.strategy, run.checkpoints, scaled=run.precision == "float16")
    _check_memory(state, data, run)
    headline = state.task.headline
    first = state.restore_latest(partial(publishing.best_until, run.workdir, headline=headline))
    training = _begin(data, run, state, first)
    journal = training.journal
    learning_rate = plan.learning_rate(recipe)
    batches = distribute(run.strategy, data.train_batches(first), data.broken)
    any_worker = devices.agreement(run.strategy)
    if any_worker(_evaluation_due(data, first) and journal.lacks(first)):
        _evaluate_on_the_way(training, first)  # a stop came before it

    frozen: tuple[str, ...] | None = None
    with Profile(run.workdir, first, run.profile) as profile, journal.training(first):
        timed = journal.timed(batches)
        numbered = zip(range(first + 1, recipe.steps + 1), timed, strict=False)
        for step, (images, targets, weights) in numbered:
            if recipe.frozen(step) != frozen:
                frozen = recipe.frozen(step)
                train_step = _train_step(training, frozen)
            profile.at(step)
            rate = learning_rate(step - 1) * state.warmup.factor
            metrics = train_step(images, targets, weights, tf.constant(rate))
            interruption.unsaved()
            if run.deterministic:  # as often as in a run that was stopped, which averages to save
                state.average_statistics()
            state.warmup.observe(metrics[headline.train_name])
            journal.train(step, metrics, rate)
            stop = any_worker(interruption.asked() is not None)
            if stop or _evaluation_due(data, step) or _checkpoint_due(data, step):
                journal.check()
                stop |= _save(training, step, rate)
            if stop:
                saved = max(checkpoints.steps(run.checkpoints), default=0)
                raise Stopped(step, saved, interruption.asked() or signal.SIGTERM)
            if _evaluation_due(data, step):
                _evaluate_on_the_way(training, step)
    if first < recipe.steps:
        journal.say(journal.waiting())
    return _finish(training)


def _evaluation_due(data: Data, step: int) -> bool:
    """Whether the network is measured after a step on the way; after the last one it always is."""
    return 0 < step < data.recipe.steps and step % data.recipe.eval_every == 0


def _checkpoint_due(data: Data, step: int) -> bool:
    """Whether a checkpoint is due after a step."""
    return step == data.recipe.steps or step % data.recipe.save_every == 0


def _check_memory(state: TrainState, data: Data, run: Run) -> None:
    """Raises a ValueError if a step cannot fit into memory, at the end, where more parts learn."""
    recipe = data.recipe
    transfer.freeze(state.model, recipe.frozen(recipe.steps))
    batching = plan.batching(recipe)
    memory.check(state, data.train_shape, batching, compiled=run.jit_compile)


def _begin(data: Data, run: Run, state: TrainState, first: int) -> Training:
    """Takes the workdir for this run, and says what starts or resumes after step `first`."""
    recipe = data.recipe
    interruption.renew()
    interruption.saved(first)
    changed: list[str] = []
    if state.chief:  # not before its checkpoints turn out to fit
        changed = workdirs.claim(run.workdir, recipe, first)
        if not first or not data_file.read(run.workdir):
            data_file.write(run.workdir, data)
        starts.note(run.workdir, first, run.precision, run.strategy)
    pace = Pace(recipe.steps, recipe.batch_size, recipe.log_every)
    journal = Journal(run.workdir, state.task, pace, first, writes=state.chief)
    journal.say(
        start_line(data, state.model, run.strategy, run.precision, jit_compile=run.jit_compile)
    )
    for line in changed:
        journal.say(line)
    if first:
        journal.say(f"resumes from step {first} of {recipe.steps}")
    return Training(data, run, state, journal)


def _train_step(training: Training, frozen: tuple[str, ...]) -> steps.TrainStep:
    """Freezes these parts of the network; returns a step for the others."""
    run = training.run
    state = training.state
    transfer.freeze(state.model, frozen)
    return plan.train_step(
        training.data.recipe,
        run.strategy,
        state.model,
        state.update,
        state.task,
        jit_compile=run.jit_compile,
    )


def _save(training: Training, step: int, rate: float) -> bool:
    """Saves the state. From then on a signal ends the process at once, unless others depend on it.

    Returns:
        Whether a signal came until then, in a run that need not ask other workers.
    """
    strategy = training.run.strategy
    try:
        whole = training.state.save(step)
    except FloatingPointError as error:  # the loss is that of the weights before the step
        raise Diverged(step, str(error), rate) from error
    if not whole or devices.num_workers(strategy) > 1:
        return False
    interruption.saved(step)
    return interruption.asked() is not None


def _evaluate(training: Training, step: int, split: str) -> Scalars:
    """Measures the network, as it is after a step, on a split."""
    data = training.data
    state = training.state
    batches = distribute(state.strategy, data.eval_batches(split), data.broken)
    if state.chief:
        total = -(-data.splits[split].size // data.recipe.batch_size)
        batches = progress.each(batches, f"evaluating on {split}", total)
    result = evaluate(state.eval_step, batches, state.task)
    training.journal.evaluation(step, split, result, state.model)
    return result


def _evaluate_on_the_way(training: Training, step: int) -> None:
    """Measures the network on the way, and publishes it if it is the best so far."""
    with training.state.averaged():
        _publish_if_best(training, step, _evaluate(training, step, training.data.eval_split))


def _publish_if_best(training: Training, step: int, result: Scalars) -> None:
    """Has worker 0 publish the network if this result is the best so far."""
    state = training.state
    headline = state.task.headline
    value = result[headline.name]
    if state.best.observe(step, value) and state.chief:
        publishing.best(state.model, training.data, training.run.workdir, step, value, headline)


def _finish(training: Training) -> Scalars:
    """Measures the trained network, and has worker 0 publish it and draw the curves of the run."""
    data = training.data
    run = training.run
    state = training.state
    recipe = data.recipe
    with state.averaged() as model:
        if recipe.precise_bn:
            batches = distribute(run.strategy, data.train_batches(recipe.steps), data.broken)
            if state.chief:
                batches = progress.each(batches, "recomputing BN statistics", recipe.precise_bn)
            statistics.precise(run.strategy, model, state.task.inputs, batches, recipe.precise_bn)
        on_the_way = _evaluate(training, recipe.steps, data.eval_split)
        same = data.eval_split == "test"
        result = on_the_way if same else _evaluate(training, recipe.steps, "test")
        _publish_if_best(training, recipe.steps, on_the_way)
        if state.chief:
            with progress.shown("writing the network and its curves"):
                publishing.final(model, data, run.workdir, result)
                curves.draw(run.workdir)
                files.finish(run.workdir, recipe.steps, result)
    devices.barrier(run.strategy)  # no worker leaves before all is written
    return result
