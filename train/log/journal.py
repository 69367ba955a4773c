"""What a run writes while it goes on: progress lines, `metrics.jsonl`, TensorBoard's events."""

import json
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_resnet import console
from keras_resnet.console import progress
from keras_resnet.preprocessing.decoding.errors import message
from train.run import devices, files
from train.tasks.task import Scalars, Task


class Diverged(Exception):
    """Loss or a weight became NaN or infinite; training cannot continue."""

    def __init__(self, step: int, what: str, learning_rate: float) -> None:
        super().__init__(f"{what} at step {step}, at a learning rate of {learning_rate:g}")


@dataclass(frozen=True)
class Pace:
    """How long a run is, and how often it writes.

    Attributes:
        steps: of the whole run.
        batch_size: examples of a step.
        log_every: steps between progress lines.
    """

    steps: int
    batch_size: int
    log_every: int


class Journal:
    """Averages the metrics of the steps between two progress lines, and writes them.

    Args:
        workdir: of the run.
        task: which metrics there are.
        pace: how often lines are due.
        first_step: number of steps that are already taken. Lines of later steps, which an earlier
            process wrote, are dropped: these steps will be taken again.
        writes: whether this worker is the one that writes.

    Raises:
        OSError: if there is no room for the files.
    """

    def __init__(
        self, workdir: Path, task: Task, pace: Pace, first_step: int, *, writes: bool = True
    ) -> None:
        self._task = task
        self._pace = pace
        self._writes = writes
        self._path = workdir / files.METRICS
        self._work: progress.Work | None = None
        self._shown = 0.0  # when the work has told of a step
        self._pending: list[tuple[int, float, Mapping[str, tf.Tensor]]] = []
        self._clock = time.monotonic()
        self._waited = 0.0  # seconds since the last line
        self._seconds = np.zeros(2)  # of waiting, and of all, up to the last line
        if writes:
            self._keep_until(first_step)
            self._events = _events(workdir / files.TENSORBOARD)

    def say(self, line: str) -> None:
        """Prints a line, if this worker is the one that writes."""
        if self._writes:
            console.say(line)

    @contextmanager
    def training(self, first: int) -> Iterator[None]:
        """Shows how far the training is, from after step `first`, for as long as it lasts."""
        begins = "first step, being compiled"
        with progress.shown(begins, self._pace.steps, "steps", first, say=self._writes) as work:
            self._work = work if self._writes else None
            yield
            self._work = None

    def _show(self, metrics: Mapping[str, tf.Tensor]) -> None:
        """Shows that one more step is taken and, once in a while, its metrics."""
        if self._work is None:
            return
        note = None
        now = time.monotonic()
        if now - self._shown > progress.refresh():  # to read them is to wait for the step
            means = {name: float(value) for name, value in metrics.items()}
            rate = len(self._pending) * self._pace.batch_size / max(now - self._clock, 1e-9)
            note = f"{self._task.train_text(means)}  {rate:,.0f} images/s"
            self._shown = time.monotonic()
        self._work.what = "training"
        self._work.advance(1, note)

    def timed(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yields batches, and counts how long each lets the training wait."""
        remaining = iter(batches)
        while True:
            begin = time.monotonic()
            try:
                batch = next(remaining)
            except StopIteration:
                return
            self._waited += time.monotonic() - begin
            yield batch

    def waiting(self) -> str:
        """Returns a line about the share of the training's time that went by without data."""
        waited, seconds = self._seconds
        return f"waited for data: {waited / max(seconds, 1e-9):.1%} of the time of training"

    def train(self, step: int, metrics: Mapping[str, tf.Tensor], learning_rate: float) -> None:
        """Takes the metrics of a step, and writes a line if one is due after it.

        Args:
            step: number of steps taken.
            metrics: the task's, as means over the global batch, and "skipped".
            learning_rate: of the step.

        Raises:
            Diverged: if a loss since the last line is NaN or infinite.
        """
        self._pending.append((step, learning_rate, metrics))
        self._show(metrics)
        if step % self._pace.log_every and step != self._pace.steps:
            return
        rows = self.check()
        means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
        skipped = means.pop("skipped")
        seconds = time.monotonic() - self._clock
        rate = len(self._pending) * self._pace.batch_size / seconds
        remaining = (self._pace.steps - step) * self._pace.batch_size / rate
        memory = devices.memory()
        scalars = self._task.headline.for_file(means)
        scalars |= {"learning_rate": learning_rate, "images_per_second": rate}
        scalars |= {"memory_gib": memory, "data_wait": self._waited / seconds}
        self._seconds += (self._waited, seconds)
        line = (
            f"step {step}/{self._pace.steps}  {self._task.train_text(means)}"
            f"  learning rate {learning_rate:g}  {rate:,.0f} images/s  {memory:.1f} GiB"
            f"  ETA {progress.clock(remaining)}"
        )
        if skipped:
            scalars["skipped"] = skipped
            line += f"  {skipped:.1%} of the steps left out"
        self._write("train", step, scalars)
        if not progress.terminal():  # the bar says it there
            self.say(line)
        self.restart_clock()

    def check(self) -> list[Scalars]:
        """Returns the metrics of the steps since the last line; steps left out only if all were.

        Raises:
            Diverged: if a loss of a step that was taken is NaN or infinite.
        """
        rows = []
        for step, rate, metrics in self._pending:
            row = {name: float(value) for name, value in metrics.items()}
            if not row["skipped"] and not math.isfinite(row["loss"]):
                raise Diverged(step, f"the loss became {row['loss']}", rate)
            rows.append(row)
        taken = [row for row in rows if not row["skipped"]] or rows
        skipped = float(np.mean([row["skipped"] for row in rows])) if rows else 0.0
        return [row | {"skipped": skipped} for row in taken]

    def evaluation(self, step: int, split: str, result: Scalars, model: keras.Model) -> None:
        """Writes the metrics of an evaluation, and histograms of the weights."""
        self._write(split, step, result, model)
        self.say(f"step {step}/{self._pace.steps}  {split}: {self._task.eval_text(result)}")
        self.restart_clock()

    def restart_clock(self) -> None:
        """Forgets the steps and the time since the last line: rates are those of training alone."""
        self._pending.clear()
        self._waited = 0.0
        self._clock = time.monotonic()

    def lacks(self, step: int) -> bool:
        """Whether no evaluation after this step was written, by the worker that writes."""
        if not self._writes:
            return False
        entries = files.lines(self._path)
        return not any(entry["step"] == step and entry["split"] != "train" for entry in entries)

    def _write(
        self, split: str, step: int, scalars: Scalars, model: keras.Model | None = None
    ) -> None:
        if not self._writes:
            return
        try:
            _append(self._path, json.dumps({"step": step, "split": split, **scalars}) + "\n")
            with self._events.as_default():
                for name, value in scalars.items():
                    tf.summary.scalar(f"{split}/{name}", value, step)
                for weight in model.trainable_weights if model else ():
                    tf.summary.histogram(weight.path, tf.convert_to_tensor(weight.value), step)
        # A full disk, which may have room again later. Leaving `with` writes the events.
        except (OSError, tf.errors.OpError) as error:
            self.say(f"step {step}: no metrics in {self._path.parent}, {message(error)}")

    def _keep_until(self, step: int) -> None:
        if not self._path.exists():
            return
        lines = self._path.read_text(errors="replace").splitlines()
        kept = [line for line in lines if self._stays(line, step)]
        files.write(self._path, "".join(f"{line}\n" for line in kept))

    def _stays(self, line: str, last_step: int) -> bool:
        """Whether a line is of a step that is not taken again, nor of the last evaluation."""
        try:
            entry = json.loads(line)
            again = entry["split"] != "train" and entry["step"] == self._pace.steps
            return entry["step"] <= last_step and not again
        except (ValueError, TypeError, KeyError):  # a line that a crash has truncated
            return False


def _events(folder: Path) -> tf.summary.SummaryWriter:
    try:
        return tf.summary.create_file_writer(str(folder))
    except tf.errors.OpError as error:
        raise OSError(message(error)) from error


def _append(path: Path, line: str) -> None:
    """Adds a whole line to a file, or nothing.

    Raises:
        OSError: if there is no room for the line.
    """
    size = path.stat().st_size if path.exists() else 0
    try:
        with path.open("a") as file:
            file.write(line)
    except OSError:
        if path.exists():
            os.truncate(path, size)
        raise
