"""What an evaluation says: accuracies with their uncertainty, and the tables that it writes."""

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_resnet.preprocessing.image_files import printable
from train.measure.measurement import Array, Measured
from train.run import files
from train.tasks.classification import TOP

CLASSES = "classes.csv"
CONFUSION_PAIRS = "confusion.csv"
CONFUSION = "confusion.npz"
PREDICTIONS = "predictions.csv"
NORMAL = 1.959964  # 97.5 % of a normal distribution are below it
PARTS = ("", "_name", "_probability")  # of a class in a row of predictions
PLACES = ("predicted", "second", "third", "fourth", "fifth")


@dataclass(frozen=True)
class Outcome:
    """What was predicted of each example that counts.

    Attributes:
        classes: names of the compared classes.
        names: of the examples, [n].
        labels: int64 [n].
        best: int64 [n, up to 5], the most probable classes, the most probable first; of equal ones
            the first.
        probabilities: float32 [n, up to 5], of these classes.
        hits: bool [n, up to 5], where a class of `best` is the label. No class of an example with a
            score that is not finite is.
        loss: the mean cross-entropy.
    """

    classes: tuple[str, ...]
    names: Array
    labels: Array
    best: Array
    probabilities: Array
    hits: Array
    loss: float

    @property
    def confusion(self) -> Array:
        """Number of examples of each class (rows) by what was predicted (columns), int64."""
        size = len(self.classes)
        pairs = self.labels * size + self.best[:, 0]
        return np.bincount(pairs, minlength=size * size).reshape(size, size)


def outcome(measured: Measured, names: Sequence[str], classes: tuple[str, ...]) -> Outcome:
    """Returns what was predicted of the examples that count.

    Args:
        measured: of a whole split.
        names: of all its examples.
        classes: names of the compared classes.

    Raises:
        ValueError: if no example counts.
    """
    good = measured.counts
    if not good.any():
        raise ValueError("no image of the split could be decoded")
    scores = measured.scores[good]
    labels = measured.labels[good]
    best = np.argsort(-scores, axis=1, kind="stable")[:, :TOP]
    probabilities = np.exp(np.take_along_axis(scores, best, 1))
    finite = np.isfinite(scores).all(1, keepdims=True)
    hits = (best == labels[:, np.newaxis]) & finite
    loss = -float(scores[np.arange(len(labels)), labels].mean(dtype=np.float64))
    return Outcome(classes, np.array(names)[good], labels, best, probabilities, hits, loss)


def result(found: Outcome) -> dict[str, Any]:
    """Returns the metrics of an evaluation, and the 95 % intervals of accuracies, in percent."""
    count = len(found.labels)
    top1 = int(found.hits[:, 0].sum())
    top5 = int(found.hits.any(1).sum())
    bounds = (*wilson(top1, count), *wilson(top5, count))
    return {
        "top1": 100 * top1 / count,
        "top5": 100 * top5 / count,
        "loss": found.loss,
        "examples": count,
        **dict(zip(("top1_low", "top1_high", "top5_low", "top5_high"), bounds, strict=True)),
    }


def wilson(hits: int, count: int) -> tuple[float, float]:
    """Returns the bounds of the share of hits, in percent, with a confidence of 95 %.

    Source: Wilson, Journal of the American Statistical Association 22 (1927), 209-212. It holds
    for few examples, too, and stays within 0 to 100.
    """
    square = NORMAL**2 / count
    share = hits / count
    middle = share + square / 2
    reach = NORMAL * math.sqrt((share * (1 - share) + square / 4) / count)
    low = max((middle - reach) / (1 + square), 0.0)
    high = min((middle + reach) / (1 + square), 1.0)
    return 100 * low, 100 * high


def text(values: dict[str, Any]) -> str:
    """Returns a line for people."""
    shares = [
        f"{title} {values[name]:.2f} % ({values[f'{name}_low']:.2f} to"
        f" {values[f'{name}_high']:.2f})"
        for name, title in (("top1", "top-1"), ("top5", "top-5"))
    ]
    return f"{', '.join(shares)} of {values['examples']:,} examples; 95 % confidence"


def write(out: Path, found: Outcome) -> None:
    """Writes the tables of an evaluation.

    Raises:
        OSError: if there is no room.
    """
    counts = found.confusion
    _write_rows(out / PREDICTIONS, _predictions(found))
    _write_rows(out / CLASSES, _classes(found))
    _write_rows(out / CONFUSION_PAIRS, _pairs(found.classes, counts))
    with files.replaced(out / CONFUSION) as partial, partial.open("wb") as stream:
        np.savez_compressed(stream, counts=counts, classes=np.array(found.classes))


def finish(out: Path, values: dict[str, Any]) -> None:
    """Writes the result of an evaluation, which is finished then."""
    files.write(out / files.RESULT, json.dumps(values) + "\n")


def _write_rows(path: Path, rows: list[list[Any]]) -> None:
    with (
        files.replaced(path) as partial,
        partial.open("w", encoding="utf-8", newline="") as stream,
    ):
        csv.writer(stream).writerows(rows)


def _predictions(found: Outcome) -> list[list[Any]]:
    """Returns a row for each example; the number of a class tells apart those of one name."""
    places = PLACES[: found.best.shape[1]]
    rows: list[list[Any]] = [
        ["name", "label", "label_name", *(f"{p}{part}" for p in places for part in PARTS)]
    ]
    for name, label, best, shares in zip(
        found.names, found.labels, found.best, found.probabilities, strict=True
    ):
        row = [printable(name), label, found.classes[label]]
        for place, share in zip(best, shares, strict=True):
            row += [place, found.classes[place], f"{share:.6g}"]
        rows.append(row)
    return rows


def _classes(found: Outcome) -> list[list[Any]]:
    """Returns a row for each class that has examples, with its accuracies."""
    rows: list[list[Any]] = [
        ["class", "name", "examples", "top1", "top1_low", "top1_high", "top5", "predicted"]
    ]
    size = len(found.classes)
    examples = np.bincount(found.labels, minlength=size)
    top1 = np.bincount(found.labels, found.hits[:, 0], size)
    top5 = np.bincount(found.labels, found.hits.any(1), size)
    predicted = np.bincount(found.best[:, 0], minlength=size)
    for i in np.flatnonzero(examples):
        share = 100 / examples[i]
        low, high = wilson(int(top1[i]), int(examples[i]))
        numbers = (share * top1[i], low, high, share * top5[i])
        rows.append(
            [i, found.classes[i], examples[i], *(f"{x:.2f}" for x in numbers), predicted[i]]
        )
    return rows


def _pairs(classes: tuple[str, ...], counts: Array) -> list[list[Any]]:
    """Returns a row for each prediction that occurs for a label, by label, frequent ones first."""
    rows: list[list[Any]] = [["label", "label_name", "predicted", "predicted_name", "examples"]]
    labels, predicted = np.nonzero(counts)
    order = np.lexsort([-counts[labels, predicted], labels])  # by label, then by number
    for label, place in zip(labels[order], predicted[order], strict=True):
        rows.append([label, classes[label], place, classes[place], counts[label, place]])
    return rows
