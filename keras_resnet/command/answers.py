"""What is said of an image: as text with bars, as JSON lines, or as CSV."""

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np

from keras_resnet.manifest import NONE, SIGMOID

__all__ = ["WRITERS", "Answer", "probabilities", "text_lines"]

Array = np.ndarray[Any, Any]
COLUMNS = ("file", "rank", "class", "label")
BLOCKS = " ▏▎▍▌▋▊▉█"  # eighths of a character
NARROW, WIDE = 10, 24  # characters of a whole bar


@dataclass(frozen=True)
class Answer:
    """The best classes of one image, the best first, or why there are none.

    Attributes:
        file: the name of the image.
        classes: indices of the outputs.
        labels: of these classes.
        scores: probabilities, or logits where the network ends in these.
        kind: what the scores are, "probabilities" or "logits".
        error: why the image has no answer, in one line.
    """

    file: str
    classes: list[int]
    labels: list[str]
    scores: list[float]
    kind: str
    error: str = ""


def probabilities(logits: Array, activation: str | None) -> Array:
    """Applies to logits [n, classes] what follows them: softmax, sigmoid, or "none"."""
    logits = logits.astype(np.float64)
    if activation == NONE:
        return logits
    if activation == SIGMOID:
        return np.exp(-np.logaddexp(0, -logits))
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def text_lines(answer: Answer, bar: int = 0) -> list[str]:
    """Returns the lines of an answer for people.

    Args:
        answer: one without an error.
        bar: characters of a whole bar; 0 for no bars.
    """
    if answer.kind == "logits":
        values = [f"{score:8.2f}" for score in answer.scores]
        bar = 0
    else:
        values = [f"{100 * score:6.2f} %" for score in answer.scores]
    rows = list(zip(values, answer.scores, answer.labels, strict=True))
    if len(rows) == 1:
        return [f"{values[0]}  {answer.labels[0]}  {answer.file}"]
    drawn = [f"{value}  {_bar(score, bar)}{label}" for value, score, label in rows]
    return [answer.file, *drawn, ""]


def _bar(share: float, width: int) -> str:
    if not width:
        return ""
    whole, eighths = divmod(round(8 * width * share), 8)
    drawn = BLOCKS[-1] * whole + (BLOCKS[eighths] if eighths else "")
    return f"{drawn:<{width}}  "


def _text(out: TextIO) -> Callable[[Answer], None]:
    bar = 0
    if out.isatty() and _can_show(BLOCKS, out):
        bar = WIDE if shutil.get_terminal_size().columns >= 80 else NARROW

    def write(answer: Answer) -> None:
        if not answer.error:
            # In a terminal through the `sys.stdout` that keeps lines and a bar of progress apart.
            place = None if out.isatty() else out
            print("\n".join(text_lines(answer, bar)), file=place, flush=True)

    return write


def _can_show(text: str, out: TextIO) -> bool:
    try:
        text.encode(out.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _json(out: TextIO) -> Callable[[Answer], None]:
    def write(answer: Answer) -> None:
        if answer.error:
            told: dict[str, Any] = {"file": answer.file, "error": answer.error}
        else:
            scores = [round(score, 6) for score in answer.scores]
            told = {"file": answer.file, "classes": answer.classes, "labels": answer.labels}
            told[answer.kind] = scores
        print(json.dumps(told), file=out, flush=True)

    return write


def _csv(out: TextIO) -> Callable[[Answer], None]:
    table = csv.writer(out, lineterminator="\n")
    table.writerow([*COLUMNS, "score", "error"])

    def write(answer: Answer) -> None:
        if answer.error:
            table.writerow([answer.file, "", "", "", "", answer.error])
        found = zip(answer.classes, answer.labels, answer.scores, strict=True)
        for rank, (number, label, score) in enumerate(found, 1):
            table.writerow([answer.file, rank, number, label, f"{score:.6g}", ""])
        out.flush()

    return write


# By the name of the flag. Each takes the stream, and returns what writes an answer to it.
WRITERS = {"text": _text, "json": _json, "csv": _csv}
