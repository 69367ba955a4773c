"""`python -m train --dry_run`: what a run would take and write, from a few steps of it."""

import time
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from keras_resnet import console, transfer
from keras_resnet.console import progress
from train import loop
from train.command.job import Job
from train.datasets.batches import distribute
from train.log.start_line import start_line
from train.optimize.steps import TrainStep
from train.recipes import plan
from train.recipes.data import Data
from train.run import checkpoints, devices, files, memory, starts
from train.run.state import TrainState, create

TRIED = 5  # steps that are timed, after the first


@dataclass(frozen=True)
class Tried:
    """Seconds of steps that were taken to try.

    Attributes:
        first: of the first step, which is compiled.
        step: of each of the others, on average.
    """

    first: float
    step: float


def run(job: Job) -> None:
    """Says what a run would take; its workdir is neither written nor made.

    Raises:
        ValueError: as the run itself, if it cannot be followed here.
    """
    place = job.place
    data = job.data()
    state = create(data, place.strategy, place.checkpoints, scaled=place.precision == "float16")
    needed = _memory(state, data, place)
    tried = _try(state, data, place)
    if not devices.is_chief(place.strategy):
        return
    recipe = data.recipe
    compiled = place.jit_compile
    reached = max(checkpoints.steps(place.checkpoints), default=0)
    size = data.splits["train"].size
    rate = f"peak learning rate {recipe.learning_rate:g}, schedule {recipe.schedule}"
    if recipe.schedule == "step" and recipe.boundaries:
        rate += f", divided by ten at {', '.join(f'{step:,}' for step in recipe.boundaries)}"
    lines = {
        "network": start_line(
            data, state.model, place.strategy, place.precision, jit_compile=compiled
        ),
        "devices": starts.hardware(place.strategy),
        "length": f"{recipe.steps:,} steps of {recipe.batch_size} images,"
        f" {recipe.steps * recipe.batch_size / size:.3g} epochs; {rate}",
        "memory": needed,
        "time": _duration(tried, recipe.steps - reached, recipe.batch_size),
        "would write": _writes(place, reached),
    }
    for name, text in lines.items():
        console.say(f"{name}: {text}")
    console.say("dry run: nothing was written")


def _memory(state: TrainState, data: Data, place: loop.Run) -> str:
    """Returns what a step needs and what there is, with the parts frozen that are at the end."""
    recipe = data.recipe
    transfer.freeze(state.model, recipe.frozen(recipe.steps))
    batching = plan.batching(recipe)
    shape = data.train_shape
    memory.check(state, shape, batching, compiled=place.jit_compile)
    return memory.told(state, shape, batching, compiled=place.jit_compile)


def _try(state: TrainState, data: Data, place: loop.Run) -> Tried:
    """Takes steps on a network that is thrown away."""
    recipe = data.recipe
    transfer.freeze(state.model, recipe.frozen(1))
    step = plan.train_step(
        recipe,
        place.strategy,
        state.model,
        state.update,
        state.task,
        jit_compile=place.jit_compile,
    )
    batches = iter(distribute(place.strategy, data.train_batches(0), data.broken))
    chief = devices.is_chief(place.strategy)
    with progress.shown("trying steps", TRIED + 1, "steps", say=chief) as work:
        seconds = []
        for _ in range(TRIED + 1):
            begin = time.monotonic()
            _take(step, next(batches))
            seconds.append(time.monotonic() - begin)
            work.advance()
    return Tried(seconds[0], sum(seconds[1:]) / TRIED)


def _take(step: TrainStep, batch: Any) -> None:
    """Takes a step at a rate of 0, and waits for its end."""
    images, targets, weights = batch
    metrics = step(images, targets, weights, tf.constant(0.0))
    _ = [float(value) for value in metrics.values()]


def _duration(tried: Tried, steps: int, batch_size: int) -> str:
    return (
        f"{tried.step:.3g} s per step ({batch_size / tried.step:,.3g} images/s, mean of {TRIED}"
        f" after the first, which took {tried.first:.1f} s): {progress.clock(tried.step * steps)}"
        f" for {steps:,} steps, without evaluations"
    )


def _writes(place: loop.Run, reached: int) -> str:
    workdir = place.workdir
    names = (files.RECIPE, files.METRICS, files.CHECKPOINTS, files.TENSORBOARD, files.FINAL_MODEL)
    there = "which exists" if workdir.exists() else "which would be made"
    resumes = f"; the run would resume from step {reached:,}" if reached else ""
    return f"{workdir} ({there}): {', '.join(names)} and others{resumes}"
