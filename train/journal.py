"""What people watch: a progress line, `metrics.jsonl`, and TensorBoard events."""

import json
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

from train.recipe import Recipe

Scalars = dict[str, float]


class Journal:
    """Averages the metrics of the steps between two lines, and writes each line thrice.

    Args:
        first_step: where the run starts; what an earlier run wrote beyond it is dropped, as
            those steps will be taken again.
    """

    def __init__(self, workdir: Path, recipe: Recipe, first_step: int) -> None:
        self._recipe = recipe
        self._path = workdir / "metrics.jsonl"
        self._events = tf.summary.create_file_writer(str(workdir / "tensorboard"))
        self._pending: list[dict[str, tf.Tensor]] = []
        self._clock = time.monotonic()
        self._keep_until(first_step)

    def train(self, step: int, metrics: dict[str, tf.Tensor], learning_rate: float) -> None:
        """Takes the metrics of a step, and writes a line if one is due after it."""
        self._pending.append(metrics)
        if step % self._recipe.log_every and step != self._recipe.steps:
            return
        means = {
            name: float(np.mean([float(m[name]) for m in self._pending]))
            for name in self._pending[0]
        }
        seconds = time.monotonic() - self._clock
        rate = len(self._pending) * self._recipe.batch_size / seconds
        remaining = (self._recipe.steps - step) * self._recipe.batch_size / rate
        scalars = {**means, "learning_rate": learning_rate, "images_per_second": rate}
        self._write("train", step, scalars)
        print(
            f"step {step}/{self._recipe.steps}  loss {means['loss']:.4f}"
            f"  accuracy {100 * means['accuracy']:.2f} %  learning rate {learning_rate:g}"
            f"  {rate:,.0f} images/s  ETA {_clock(remaining)}",
            flush=True,
        )
        self.restart_clock()

    def evaluation(self, step: int, split: str, result: Scalars) -> None:
        self._write(split, step, result)
        print(
            f"step {step}/{self._recipe.steps}  {split}: top-1 {result['top1']:.2f} %"
            f"  top-5 {result['top5']:.2f} %  loss {result['loss']:.4f}"
            f"  of {result['examples']:,.0f} examples",
            flush=True,
        )
        self.restart_clock()

    def restart_clock(self) -> None:
        """Forgets the steps and the time so far, so that the rate is of training alone."""
        self._pending.clear()
        self._clock = time.monotonic()

    def _write(self, split: str, step: int, scalars: Scalars) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps({"step": step, "split": split, **scalars}) + "\n")
        with self._events.as_default():
            for name, value in scalars.items():
                tf.summary.scalar(f"{split}/{name}", value, step)
        self._events.flush()

    def _keep_until(self, step: int) -> None:
        if not self._path.exists():
            return
        kept = [line for line in self._path.read_text().splitlines() if self._stays(line, step)]
        partial = self._path.with_suffix(".partial")
        partial.write_text("".join(f"{line}\n" for line in kept))
        partial.replace(self._path)

    def _stays(self, line: str, last_step: int) -> bool:
        try:
            entry = json.loads(line)
        except ValueError:  # a line that a crash cut short
            return False
        again = entry["split"] != "train" and entry["step"] == self._recipe.steps
        return entry["step"] <= last_step and not again


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
