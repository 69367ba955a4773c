"""The metric by which networks of a task are compared, as files and people name it.

Standard library only: `train.curves` draws metrics without Keras.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Headline:
    """A metric of evaluations, in percent, and its counterpart in the lines of training.

    Attributes:
        name: in results, in `metrics.jsonl`, in checkpoints and in manifests.
        text: in lines for people.
        train_name: what the lines of training call it.
        higher: whether a higher value is better.
        none: what a checkpoint holds as the best value before the first evaluation.
    """

    name: str
    text: str
    train_name: str
    higher: bool
    none: float

    def better(self, value: float, than: float) -> bool:
        """Whether a value is better than another, or the first one."""
        if than == self.none:
            return True
        return value > than if self.higher else value < than

    def said(self, value: float) -> str:
        """Returns a value for people, such as "top-1 98.77 %"."""
        return f"{self.text} {value:.2f} %"

    def error(self, entry: Mapping[str, object], split: str) -> float | None:
        """Returns what a line of `metrics.jsonl` is short of perfect, in percent.

        None if the line does not say it as a number.
        """
        value = entry.get(self.train_name if split == "train" else self.name)
        if not isinstance(value, float):
            return None
        percent = from_share(value) if split == "train" else value
        return 100 - percent if self.higher else percent

    def for_file(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Returns the metrics of training as `metrics.jsonl` has them since version 0.1.

        There the headline metric of a training line is a share of 1. In the code, and in the lines
        of evaluations, it is in percent.
        """
        return {**metrics, self.train_name: metrics[self.train_name] / 100}


def from_share(share: float) -> float:
    """Returns percent."""
    return 100 * share


# Of classification: the share of images whose largest logit is that of their class.
TOP1 = Headline("top1", "top-1", "accuracy", higher=True, none=-1.0)
