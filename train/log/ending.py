"""The last lines of a run: what it has left where, and what to do with it next."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from keras_resnet.console import progress
from train.run import files

EXPORTS = Path("saved_models")  # of the checkout


@dataclass(frozen=True)
class Ending:
    """A run that has ended.

    Attributes:
        workdir: of the run.
        steps: that it took, in all.
        seconds: that this process took.
        dataset: what was trained on.
        data_dir: its directory, if one was given.
        rounds: whether the network was trained to round to int8.
    """

    workdir: Path
    steps: int
    seconds: float
    dataset: str
    data_dir: str | None = None
    rounds: bool = False

    def lines(self, best: str) -> list[str]:
        """Returns lines for people.

        Args:
            best: the best evaluation, such as "top-1 98.33 % after step 1,000"; "" for none.
        """
        took = progress.clock(self.seconds)
        told = f"finished: {self.steps:,} steps; this process took {took}"
        left = [files.FINAL_MODEL, files.FINAL_WEIGHTS, files.CURVES[0]]
        if best:
            told += f"; best: {best}"
            left.insert(2, files.BEST)
        commands = [f"  {shlex.join(words)}" for words in self.commands]
        return [told, f"in {self.workdir}: {', '.join(left)}", "next:", *commands]

    @property
    def commands(self) -> list[list[str]]:
        """Commands that evaluate the network, export it, and show the export in a browser."""
        weights = f"--weights={self.workdir / files.FINAL_MODEL}"
        data = [f"--data_dir={self.data_dir}"] if self.data_dir else []
        out = str(_free(EXPORTS / self.workdir.resolve().name))
        formats = ["--formats=tflite_int8,saved_model"] if self.rounds else []
        return [
            ["python", "-m", "train.evaluate", weights, f"--dataset={self.dataset}", *data],
            ["python", "-m", "keras_resnet.export", weights, f"--out={out}", *formats],
            ["python", "-m", "saved_models.serving.page", out],
        ]


def _free(folder: Path) -> Path:
    """Returns the first version in the folder of a model that does not exist."""
    version = 1
    while (folder / str(version)).exists():
        version += 1
    return folder / str(version)
