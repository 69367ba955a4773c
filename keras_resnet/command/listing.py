"""`keras-resnet list`: the family as a table. Everything is counted from the specs."""

import difflib
from collections.abc import Sequence

from keras_resnet import console, counts, family
from keras_resnet.family import ERRORS, FAMILY, PUBLISHED
from keras_resnet.weights import catalogue

__all__ = ["ALIKE", "HELP", "WORDS", "aligned", "define_flags", "main", "table"]

WORDS = 1  # part of a name
ALIKE: dict[str, str] = {}
HELP = """\
keras-resnet list [NAME]

Lists the networks: all, or those with NAME in their names.

Examples
  keras-resnet list
  keras-resnet list resnet50

Columns
  parameters       those that learn
  multiply-adds    for one image: 224x224 for ImageNet, 32x32 for CIFAR-10
  published        top-1 error in percent as published
  ours             top-1 error in percent of the weights in this package
  weights          what --weights= and weights= take by name; files, URLs and hf://owner/name of
                   other projects load, too"""
TITLES = ("network", "parameters", "multiply-adds", "published", "ours", "weights")
WORD_COLUMNS = ("network", "weights")  # to the left; the others are numbers
NOTES = "* ten crops per image; A: with shortcuts of option A."


def define_flags() -> None:
    """Defines no flags."""


def main(name: str = "") -> None:
    for line in table(name):
        console.say(line)


def table(part: str = "") -> list[str]:
    """Returns the lines of the table, with those networks whose names contain a text.

    Raises:
        ValueError: if there is none.
    """
    names = [name for name in FAMILY if part.lower() in name]
    if not names:
        near = difflib.get_close_matches(part.lower(), FAMILY, 3) or list(FAMILY)[:3]
        raise ValueError(f"no network is called {part!r}; did you mean {' or '.join(near)}?")
    names.sort(key=lambda name: PUBLISHED[name].classes, reverse=True)
    lines = aligned([TITLES, *map(_row, names)], WORD_COLUMNS)
    notes = [NOTES] if any("*" in line for line in lines) else []
    return [*lines, *notes]


def _row(name: str) -> tuple[str, ...]:
    size, classes = PUBLISHED[name]
    parameters, multiply_adds = counts.total(FAMILY[name], (size, size, 3), classes)
    offers = catalogue.list_weights(name)
    ours = [100 - offer.top1 for offer in offers if offer.weights != catalogue.IMAGENET]
    return (
        name,
        _short(parameters),
        _short(multiply_adds),
        _published(name),
        f"{min(ours):.2f}" if ours else "",
        ", ".join(offer.weights for offer in offers),
    )


def _published(name: str) -> str:
    found: family.Reported | None = ERRORS.get(name)
    if found is None:
        return ""
    return f"{found.top1:.2f}{'*' if found.crops > 1 else ' '}{found.shortcut or ' '}"


def _short(number: int) -> str:
    """Returns a number with its unit, such as 25.56 M."""
    unit, name = (1e9, "G") if number >= 1e9 else (1e6, "M") if number >= 1e6 else (1e3, "k")
    return f"{number / unit:.2f} {name}"


def aligned(rows: Sequence[Sequence[str]], left: Sequence[str]) -> list[str]:
    """Returns the lines of a table.

    Args:
        rows: the cells, the first row being the titles.
        left: the titles of columns that begin at the left; others end at the right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = ["<" if title in left else ">" for title in rows[0]]
    return [
        "  ".join(
            f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)
        ).rstrip()
        for row in rows
    ]
