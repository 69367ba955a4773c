"""Some steps of a run, recorded for TensorBoard's profiler."""

from pathlib import Path

import tensorflow as tf

from train.run import files


class Profile:
    """Records some steps of this process, once it has warmed up.

    Args:
        workdir: of the run.
        first_step: number of steps that are already taken.
        count: number of steps to record; 0 for none.
    """

    WARM = 10  # steps before the first one that is recorded

    def __init__(self, workdir: Path, first_step: int, count: int) -> None:
        self._directory = str(workdir / files.TENSORBOARD)
        self._first = first_step + 1 + self.WARM
        self._end = self._first + count
        self._runs = False

    def __enter__(self) -> "Profile":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def at(self, step: int) -> None:
        """Has to be called before each step."""
        if step == self._end:
            self._stop()
        elif step == self._first:
            tf.profiler.experimental.start(self._directory)
            self._runs = True

    def _stop(self) -> None:
        if self._runs:
            tf.profiler.experimental.stop()
            self._runs = False
