"""What a source says that its training reaches, so that a result can be compared with it."""

from dataclasses import dataclass

from train.tasks.protocols import check_name


@dataclass(frozen=True)
class Expected:
    """A published accuracy on the test split, which for ImageNet is the validation split.

    Attributes:
        protocol: of `train.tasks.protocols`, by which the source measured.
        top1: accuracy in percent.
        place: where the source says it.

    Raises:
        ValueError: for an unknown protocol, and for an accuracy outside of 0 to 100.
    """

    protocol: str
    top1: float
    place: str

    def __post_init__(self) -> None:
        check_name(self.protocol)
        if not 0 <= self.top1 <= 100:
            raise ValueError(f"top1 must be percent, got {self.top1!r}")


def error(protocol: str, top1_error: float, place: str) -> Expected:
    """Returns what a source says as an error, in percent."""
    return Expected(protocol, round(100 - top1_error, 3), place)
