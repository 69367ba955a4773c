"""What people watch: a headline, progress lines, `metrics.jsonl`, TensorBoard, a profile."""

import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_resnet import console
from keras_resnet.analysis import cost as analysis
from train.datasets.batches import Data
from train.datasets.decoding import message
from train.run import devices, workdirs

Scalars = dict[str, float]


class Diverged(Exception):
    """The loss or a weight is no number any more, and what follows would be none either."""

    def __init__(self, step: int, what: str, learning_rate: float) -> None:
        super().__init__(f"{what} at step {step}, at a learning rate of {learning_rate:g}")


class Journal:
    """Averages the metrics of the steps between two lines, and writes each line thrice.

    Args:
        first_step: where the run starts; what an earlier run wrote beyond it is dropped, as
            those steps will be taken again.
        writes: whether this worker is the one that does.

    Raises:
        OSError: if there is no room to begin with.
    """

    def __init__(self, workdir: Path, data: Data, first_step: int, *, writes: bool = True) -> None:
        self._recipe, self._data, self._writes = data.recipe, data, writes
        self._path = workdir / workdirs.METRICS
        self._pending: list[tuple[int, float, Mapping[str, tf.Tensor]]] = []
        self._clock = time.monotonic()
        if writes:
            self._keep_until(first_step)
            self._events = _events(workdir / "tensorboard")

    def headline(
        self,
        model: keras.Model,
        strategy: tf.distribute.Strategy,
        precision: str,
        *,
        jit_compile: bool,
    ) -> None:
        """Says what really runs: counts are per image of the training size."""
        recipe, cost = self._recipe, analysis.cost(model, self._data.train_shape)
        count, kind = strategy.num_replicas_in_sync, "GPU" if devices.gpus() else "CPU"
        workers = devices.workers(strategy)[1]
        self._print(
            f"{recipe.network} on {recipe.dataset}: {cost.parameters:,} parameters,"
            f" {cost.multiply_adds:,} multiply-adds; {recipe.batch_size} images a step on"
            f" {count} replica(s) ({kind}) of {workers} worker(s), {precision},"
            f" XLA {'on' if jit_compile else 'off'}; {self._data.splits['train'].size:,} examples"
        )

    def resumes(self, step: int, changed: Sequence[str]) -> None:
        """Says after which step a run goes on, and what it is told otherwise than before."""
        for line in changed:
            self._print(line)
        if step:
            self._print(f"resumes from step {step} of {self._recipe.steps}")

    def train(self, step: int, metrics: Mapping[str, tf.Tensor], learning_rate: float) -> None:
        """Takes the metrics of a step, and writes a line if one is due after it.

        Raises:
            Diverged: if a loss since the last line is no number.
        """
        self._pending.append((step, learning_rate, metrics))
        if step % self._recipe.log_every and step != self._recipe.steps:
            return
        rows = self.check()
        means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
        seconds = time.monotonic() - self._clock
        rate = len(self._pending) * self._recipe.batch_size / seconds
        remaining = (self._recipe.steps - step) * self._recipe.batch_size / rate
        skipped, memory = means.pop("skipped"), devices.memory()
        scalars = {**means, "learning_rate": learning_rate, "images_per_second": rate}
        scalars |= {"memory_gib": memory} | ({"skipped": skipped} if skipped else {})
        self._write("train", step, scalars)
        self._print(
            f"step {step}/{self._recipe.steps}  loss {means['loss']:.4f}"
            f"  accuracy {100 * means['accuracy']:.2f} %  learning rate {learning_rate:g}"
            f"  {rate:,.0f} images/s  {memory:.1f} GiB  ETA {_clock(remaining)}"
            + (f"  {skipped:.1%} of the steps left out" if skipped else "")
        )
        self.restart_clock()

    def check(self) -> list[Scalars]:
        """Returns the metrics since the last line, of the steps that were taken if there are any.

        Raises:
            Diverged: if a loss of theirs is no number.
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
        self._write(split, step, result, model)
        self._print(
            f"step {step}/{self._recipe.steps}  {split}: top-1 {result['top1']:.2f} %"
            f"  top-5 {result['top5']:.2f} %  loss {result['loss']:.4f}"
            f"  of {result['examples']:,.0f} examples"
        )
        self.restart_clock()

    def restart_clock(self) -> None:
        """Forgets the steps and the time so far, so that the rate is of training alone."""
        self._pending.clear()
        self._clock = time.monotonic()

    def _print(self, line: str) -> None:
        if self._writes:
            console.say(line)

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
        # A full disk, which may have room again later; the events are written at the end of with.
        except (OSError, tf.errors.OpError) as error:
            self._print(f"step {step}: no metrics in {self._path.parent}, {message(error)}")

    def _keep_until(self, step: int) -> None:
        kept = [line for line in self._lines() if self._stays(line, step)]
        if self._path.exists():
            workdirs.write(self._path, "".join(f"{line}\n" for line in kept))

    def _lines(self) -> list[str]:
        if not self._path.exists():
            return []
        return self._path.read_text(errors="replace").splitlines()

    def lacks(self, step: int) -> bool:
        """Whether an evaluation is due after this step, and was not written: a stop came first."""
        due = 0 < step < self._recipe.steps and step % self._recipe.eval_every == 0
        if not self._writes or not due:
            return False
        entries = [json.loads(line) for line in self._lines()]
        return not any(entry["step"] == step and entry["split"] != "train" for entry in entries)

    def _stays(self, line: str, last_step: int) -> bool:
        try:
            entry = json.loads(line)
            again = entry["split"] != "train" and entry["step"] == self._recipe.steps
            return entry["step"] <= last_step and not again
        except (ValueError, TypeError, KeyError):  # a line that a crash cut short
            return False


def _events(folder: Path) -> tf.summary.SummaryWriter:
    try:
        return tf.summary.create_file_writer(str(folder))
    except tf.errors.OpError as error:
        raise OSError(message(error)) from error


def _append(path: Path, line: str) -> None:
    """Adds a line to a file or, where there is no room for all of it, nothing.

    Raises:
        OSError: if there is none.
    """
    size = path.stat().st_size if path.exists() else 0
    try:
        with path.open("a") as file:
            file.write(line)
    except OSError:
        if path.exists():
            os.truncate(path, size)
        raise


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"


class Profile:
    """Records some steps of this process for TensorBoard's profiler, once it has warmed up.

    Args:
        count: of steps to record; 0 for none.
    """

    WARM = 10

    def __init__(self, workdir: Path, first_step: int, count: int) -> None:
        self._directory = str(workdir / "tensorboard")
        self._first = first_step + 1 + self.WARM
        self._end = self._first + count
        self._runs = False

    def __enter__(self) -> "Profile":
        return self

    def __exit__(self, *_: object) -> None:
        if self._runs:
            tf.profiler.experimental.stop()
            self._runs = False

    def at(self, step: int) -> None:
        """Has to be called before each step."""
        if step == self._end:
            self.__exit__()
        elif step == self._first:
            tf.profiler.experimental.start(self._directory)
            self._runs = True
