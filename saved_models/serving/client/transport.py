"""What REST and gRPC share: which model is asked, how requests fail, and when they are repeated."""

import random
import threading
from collections.abc import Callable, Container
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, TypeVar

SIGNATURE = "predict_bytes"
INPUT = "image_bytes"
SCORES = ("probabilities", "logits")  # a network has the first, or only the second
FIRST_DELAY, LAST_DELAY = 0.25, 8.0  # seconds before a repetition; each is twice the one before
LONGEST_REASON = 400  # characters of what a server says
Answer = dict[str, list[Any]]  # of one image: classes, labels and scores, best first
T = TypeVar("T")


class Kind(Enum):
    """What to do about a failure."""

    TRANSIENT = "the same request may succeed later"
    REFUSED = "something is wrong with the images of this request"
    FATAL = "no request will succeed"


class Failure(Exception):
    """A request that failed, with the server's code and reason in one line."""

    def __init__(self, kind: Kind, code: str, reason: str) -> None:
        text = " ".join(reason.split()).partition(" [[{{")[0]  # without the nodes of the graph
        if len(text) > LONGEST_REASON:
            text = f"{text[:LONGEST_REASON]}..."
        super().__init__(f"{code}: {text}")
        self.kind = kind


@dataclass(frozen=True)
class Model:
    """A model of a server: of the version given, of the labelled one, or of the newest."""

    name: str
    version: int | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        if self.version is not None and self.label is not None:
            raise ValueError(f"either version or label; got {self.version} and {self.label!r}")


class Transport(Protocol):
    """A way to a server, safe to use from several threads. Everything raises `Failure`."""

    def predict(self, images: list[bytes]) -> list[Answer]:
        """Classifies encoded images, all or none."""

    def status(self) -> list[dict[str, Any]]:
        """Returns version, state and status of each version of the model."""

    def close(self) -> None:
        """Ends connections."""


def persist(call: Callable[[], T], retries: int, stop: threading.Event) -> T:
    """Repeats a call as long as its failure is transient, waiting longer each time.

    Waits end at random moments, or clients that failed together would come again together; and
    at once when `stop` is set.
    """
    for attempt in range(retries + 1):
        try:
            return call()
        except Failure as failure:
            if failure.kind is not Kind.TRANSIENT or attempt == retries:
                raise
            delay = min(FIRST_DELAY * 2**attempt, LAST_DELAY)
            if stop.wait(delay * random.uniform(0.5, 1)):
                raise
    raise AssertionError("unreachable")


def outputs(found: Container[str]) -> tuple[str, ...]:
    """Returns the names of the outputs to read of those that an answer has."""
    return ("classes", "labels", SCORES[1] if SCORES[0] not in found else SCORES[0])


def rows(columns: dict[str, list[Any]], count: int) -> list[Answer]:
    """Turns outputs [batch, k] into the answers of `count` images.

    Raises:
        Failure: if outputs are missing, or are not of so many images.
    """
    sizes = {name: len(values) for name, values in columns.items()}
    if set(sizes.values()) != {count}:
        reason = f"{count} images were sent, and the answer has {sizes}"
        raise Failure(Kind.FATAL, "UNEXPECTED", reason)
    return [{name: values[i] for name, values in columns.items()} for i in range(count)]
