"""Draws the confusion matrix of an evaluation."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from train.measure.measurement import Array
from train.measure.report import Outcome
from train.run import files

PICTURE = "confusion.png"
FEW = 25  # classes whose names and counts can be read in one matrix
SHOWN = 20  # pairs that are listed where classes are many
LONGEST = 24  # characters of a name
SHADES = "Blues"
DOTS = 400  # of a side of a matrix of many classes; each shows the largest share of some classes


def confusion(found: Outcome) -> Figure:
    """Draws which classes are taken for which: all of few, or the shape of many and the worst.

    Classes without examples that were never predicted are left out.
    """
    counts = found.confusion
    seen = np.flatnonzero(counts.sum(0) + counts.sum(1))
    names = [_short(found.classes[i]) for i in seen]
    counts = counts[np.ix_(seen, seen)]
    return _few(counts, names) if len(seen) <= FEW else _many(counts, names)


def save(found: Outcome, path: Path) -> None:
    """Writes the picture as a PNG.

    Raises:
        OSError: if there is no room.
    """
    with style.context("default"), files.replaced(path) as partial:  # not what a matplotlibrc says
        confusion(found).savefig(partial, format="png", dpi=160, bbox_inches="tight")


def _short(name: str) -> str:
    name = name.replace("$", r"\$")
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _shares(counts: Array) -> Array:
    """Returns the share of each class (rows), in percent; 0 for classes without examples."""
    return 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)


def _figure(width: float, height: float) -> Figure:
    picture = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(picture)
    return picture


def _few(counts: Array, names: list[str]) -> Figure:
    size = len(names)
    side = 2.2 + 0.42 * size
    picture = _figure(side + 0.8, side)
    axes = picture.subplots()
    shares = _shares(counts)
    image = axes.imshow(shares, cmap=SHADES, norm=PowerNorm(0.5, 0, 100))
    for row, column in zip(*np.nonzero(counts), strict=True):
        dark = shares[row, column] > 35
        axes.text(
            column,
            row,
            f"{counts[row, column]:,}",
            ha="center",
            va="center",
            fontsize=7,
            color="white" if dark else "black",
        )
    axes.set_xticks(range(size), names, rotation=60, ha="right", rotation_mode="anchor", fontsize=8)
    axes.set_yticks(range(size), names, fontsize=8)
    _label(axes, picture, image)
    return picture


def _many(counts: Array, names: list[str]) -> Figure:
    picture = _figure(12.5, 6.4)
    left, right = picture.subplots(1, 2, width_ratios=[1.25, 1])
    shares = _shares(counts)
    size = len(names)
    image = left.imshow(
        _reduced(shares),
        cmap=SHADES,
        norm=PowerNorm(0.3, 0, 100),  # a percent can be seen
        extent=(0, size, size, 0),
        interpolation="nearest",
    )
    _label(left, picture, image)
    left.set_xlabel("predicted class, in the order of the labels")
    left.set_ylabel("class, in the order of the labels")
    _pairs(right, counts, shares, names)
    return picture


def _reduced(shares: Array) -> Array:
    """Returns at most DOTS a side, each the largest of a block: a mean would hide what is rare."""
    step = -(-len(shares) // DOTS)
    if step == 1:
        return shares
    short = -len(shares) % step
    padded = np.pad(shares, [(0, short), (0, short)])
    blocks = padded.reshape(len(padded) // step, step, len(padded) // step, step)
    return blocks.max((1, 3))


def _pairs(axes: Axes, counts: Array, shares: Array, names: list[str]) -> None:
    """Lists the most frequent confusions, the most frequent at the top."""
    wrong = counts * (1 - np.eye(len(counts), dtype=counts.dtype))
    order = np.argsort(-wrong, axis=None, kind="stable")[:SHOWN]
    rows, columns = np.unravel_index(order, wrong.shape)
    there = wrong[rows, columns] > 0
    rows = rows[there]
    columns = columns[there]
    if not len(rows):
        axes.text(0.5, 0.5, "no class was taken for another", ha="center", va="center")
        axes.set_axis_off()
        return
    axes.barh(range(len(rows)), wrong[rows, columns], color="#0072B2")
    for i, (row, column) in enumerate(zip(rows, columns, strict=True)):
        axes.text(wrong[row, column], i, f" {shares[row, column]:.0f} %", va="center", fontsize=7)
    told = [f"{names[row]} → {names[column]}" for row, column in zip(rows, columns, strict=True)]
    axes.set_yticks(range(len(rows)), told, fontsize=7)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("examples, and their share of the class")
    axes.set_title("Class → predicted class, most frequent errors", fontsize=9, loc="left")


def _label(axes: Axes, picture: Figure, image: Any) -> None:
    axes.set_xlabel("predicted class")
    axes.set_ylabel("class")
    bar = picture.colorbar(image, ax=axes, fraction=0.04, pad=0.02, ticks=[0, 1, 5, 20, 50, 100])
    bar.set_label("share of the examples of a class, %", fontsize=8)
    bar.ax.tick_params(labelsize=7)
