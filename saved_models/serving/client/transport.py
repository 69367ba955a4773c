"""What REST and gRPC share: the model, the kinds of failures, and when requests are repeated."""

import random
import threading
from collections.abc import Callable, Container
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, TypeVar

SIGNATURE = "predict_bytes"
INPUT = "image_bytes"
SCORES = ("probabilities", "logits")  # a network returns the former or, if it has none, the latter
FIRST_DELAY = 0.25  # seconds before the first repetition; each next delay is twice as long
LAST_DELAY = 8.0  # seconds, at most
LONGEST_REASON = 400  # characters of a server's message
Answer = dict[str, list[Any]]  # for one image: classes, labels and scores, best first
T = TypeVar("T")


class Kind(Enum):
    """What a failure says about other requests."""

    TRANSIENT = "the same request may succeed later"
    REFUSED = "something is wrong with the images of this request"
    FATAL = "no request will succeed"


class Failure(Exception):
    """A failed request, with the server's code and reason in one line."""

    def __init__(self, kind: Kind, code: str, reason: str) -> None:
        text = " ".join(reason.split()).partition(" [[{{")[0]  # without nodes of the graph
        if len(text) > LONGEST_REASON:
            text = f"{text[:LONGEST_REASON]}..."
        super().__init__(f"{code}: {text}")
        self.kind = kind


@dataclass(frozen=True)
class Model:
    """A model of a server: a version, the version with a label, or the newest version.

    Raises:
        ValueError: for both a version and a label.
    """

    name: str
    version: int | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        if self.version is not None and self.label is not None:
            raise ValueError(f"either version or label; got {self.version} and {self.label!r}")


class Transport(Protocol):
    """A connection to a server, safe to use from several threads. Every method raises `Failure`."""

    def predict(self, images: list[bytes]) -> list[Answer]:
        """Classifies encoded images: returns an answer for each, or fails for all."""

    def status(self) -> list[dict[str, Any]]:
        """Returns `version`, `state` and `status` of each version of the model."""

    def close(self) -> None:
        """Closes connections."""


def persist(call: Callable[[], T], retries: int, stop: threading.Event) -> T:
    """Repeats a call while its failure is transient, after longer and longer delays.

    Delays are random, so that clients that failed together do not return together, and end at once
    when `stop` is set.

    Raises:
        Failure: the last one.
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
    """Returns the names of the outputs to read, given those that an answer has."""
    scores, fallback = SCORES
    return ("classes", "labels", scores if scores in found else fallback)


def rows(columns: dict[str, list[Any]], count: int) -> list[Answer]:
    """Turns outputs [batch, k] into the answers for `count` images.

    Raises:
        Failure: if outputs are missing, or belong to another number of images.
    """
    sizes = {name: len(values) for name, values in columns.items()}
    if set(sizes.values()) != {count}:
        reason = f"{count} images were sent, but the answer has {sizes}"
        raise Failure(Kind.FATAL, "UNEXPECTED", reason)
    return [{name: values[i] for name, values in columns.items()} for i in range(count)]
