"""One run of `python -m train`: from its flags to its result, or to the line that says why not."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NoReturn

import tensorflow as tf
from absl import flags

from keras_resnet import console
from keras_resnet.console import progress
from keras_resnet.preprocessing.decoding import errors
from train import loop
from train.command import chosen, flags as own
from train.datasets import summary
from train.datasets.examples import Examples
from train.datasets.record_files import Crew
from train.log import ending, journal
from train.recipes import plan, validity
from train.recipes.data import Data, open_splits, settled
from train.recipes.recipe import Recipe
from train.run import (
    checkpoints,
    data_file,
    devices,
    interruption,
    locks,
    machine,
    memory,
    publishing,
    workdirs,
)

FLAGS = flags.FLAGS


class Job:
    """What the flags ask for.

    Raises:
        ValueError, TypeError: naming a flag, its value and what is allowed.
    """

    def __init__(self) -> None:
        interruption.install()
        machine.keep_freed_memory()
        own.counted_in_steps()  # raises an error if the length is given twice
        self.first = chosen.first_weights()
        self.recipe = chosen.recipe(self.first)

    def known_recipe(self) -> Recipe:
        """Returns the recipe with its length in steps; opens the data only if that needs it."""
        if own.counted_in_steps():
            return self.recipe
        examples = open_splits(self.recipe, FLAGS.data_dir)["train"]
        return chosen.counted(self.recipe, examples.size)

    @cached_property
    def place(self) -> loop.Run:
        """The workdir, the devices and how they compute.

        Raises:
            ValueError: if there is no workdir, or if recipe and devices do not go together.
        """
        workdir = chosen.workdir()
        if not workdir:
            raise ValueError(
                "--workdir is missing: the directory in which the run writes and from which it"
                f" resumes, such as --workdir=runs/{FLAGS.recipe}"
            )
        devices.choose(FLAGS.device)
        replicas = devices.count(FLAGS.strategy, FLAGS.replicas)
        precision = FLAGS.precision
        compiled = FLAGS.jit_compile
        validity.check(self.recipe, replicas=replicas, precision=precision, jit_compile=compiled)
        strategy = devices.strategy(FLAGS.strategy, replicas)
        devices.configure(precision, FLAGS.deterministic)
        return loop.Run(workdir, strategy, precision, compiled, FLAGS.profile, FLAGS.deterministic)

    def run(self) -> dict[str, Any] | None:
        """Follows the recipe to its end; returns the metrics, in the worker that writes."""
        began = time.monotonic()
        run = self.place
        interruption.renew()
        try:
            with _locked(run):
                result = _trained(self.data(), run)
        except loop.Stopped as stopped:
            console.say(str(stopped))
            if devices.num_workers(run.strategy) == 1:
                interruption.leave(stopped.exit_code)
            sys.exit(stopped.exit_code)  # other workers wait until it has closed its connections
        interruption.over()
        if not devices.is_chief(run.strategy):
            return None
        self._say_end(time.monotonic() - began)
        return result

    def data(self) -> Data:
        """Opens the data; that of a resumed run is compared with what the run began with."""
        run = self.place
        if own.counted_in_steps():
            self._check_workdir()  # before data is read, which may take long
        old = data_file.read(run.workdir) if workdirs.resumed(run.workdir) else None
        kept = old.preprocessing if old else None
        splits = self._splits()
        self._count(splits["train"].size)
        data = settled(self.recipe, splits, kept, self.first)
        if devices.is_chief(run.strategy):
            for line in data_file.compare(old, data) if old else ():
                console.say(line)
        return data

    def _splits(self) -> dict[str, Examples]:
        strategy = self.place.strategy
        workers = devices.num_workers(strategy)
        crew = Crew(devices.worker(strategy), workers, devices.total(strategy))
        try:
            with progress.shown("reading the data", say=devices.is_chief(strategy)):
                splits = open_splits(self.recipe, FLAGS.data_dir, crew)
        except devices.WorkerLost:
            _leave_lost()
        if devices.is_chief(strategy):
            for line in summary.lines(self.recipe.dataset, FLAGS.data_dir, splits):
                console.say(line)
        return splits

    def _count(self, examples: int) -> None:
        """Sets the length in steps where it follows from the data, and says so."""
        if own.counted_in_steps():
            return
        self.recipe = chosen.counted(self.recipe, examples)
        self._check_workdir()
        if devices.is_chief(self.place.strategy):
            size = self.recipe.batch_size
            steps = self.recipe.steps
            console.say(
                f"length: {steps:,} steps of {size} images, {steps * size / examples:.3g} epochs of"
                f" {examples:,} images; --epochs or --steps change it"
            )

    def _check_workdir(self) -> None:
        run = self.place
        workdirs.check(run.workdir, self.recipe, plan.task(self.recipe).headline)
        interruption.saved(max(checkpoints.steps(run.checkpoints), default=0))

    def _say_end(self, seconds: float) -> None:
        recipe = self.recipe
        workdir = self.place.workdir
        headline = plan.task(recipe).headline
        best = publishing.best_until(workdir, recipe.steps, headline)
        told = ending.Ending(
            workdir, recipe.steps, seconds, recipe.dataset, FLAGS.data_dir, recipe.quantize
        )
        for line in told.lines(f"{headline.said(best[0])} after step {best[1]:,}" if best else ""):
            console.say(line)


@contextmanager
def _locked(run: loop.Run) -> Iterator[None]:
    """Creates the workdir and holds its lock, if this worker is the one that writes."""
    if not devices.is_chief(run.strategy):
        yield
        return
    workdirs.create(run.workdir)
    with locks.held(run.workdir):
        yield


def _trained(data: Data, run: loop.Run) -> dict[str, Any]:
    """Follows the recipe to its end; an error ends the process and says what can be done."""
    try:
        result = loop.fit(data, run)
    except journal.Diverged as error:
        newest = checkpoints.Checkpoints(run.checkpoints, {}).newest()
        sys.exit(f"error: {error}; newest whole checkpoint: {newest}")
    except devices.LOST:
        if devices.num_workers(run.strategy) == 1:
            raise
        _leave_lost()
    except tf.errors.OpError as error:
        if told := _advice(error, data, run):
            raise ValueError(told) from error
        raise
    return {**result, "examples": int(result["examples"])}


def _leave_lost() -> NoReturn:
    print(
        "another worker was lost; start all of them again, with the same command, to go on"
        " from the last checkpoint",
        flush=True,
    )
    sys.exit(os.EX_TEMPFAIL)


def _advice(error: tf.errors.OpError, data: Data, run: loop.Run) -> str:
    """Returns what to say of an error that a user can do something about, and "" for others."""
    if errors.damaged(error):
        return errors.message(error)
    return memory.exhausted(error, plan.batching(data.recipe), run.strategy.num_replicas_in_sync)
