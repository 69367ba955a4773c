"""What a run says of its data at its start: classes, and the number of images of each."""

import textwrap
from collections.abc import Mapping
from pathlib import Path

from keras_resnet.preprocessing.image_files import printable
from train.datasets.examples import Examples

WIDTH = 100  # characters of a line
ALL = 12  # of more classes only the smallest and the largest are shown
UNBROKEN = "\0"  # a space at which no line ends
SPLITS = ("train", "validation", "test")
WORDS = {"train": "training", "validation": "validation", "test": "test"}


def lines(dataset: str, data_dir: str | None, splits: Mapping[str, Examples]) -> list[str]:
    """Returns lines for people: classes, images of each split, and what was left out.

    The images of a class are shown as "training + validation + test", without the splits that do
    not exist, and only if all counts are known.
    """
    shown = {name: splits[name] for name in SPLITS if name in splits}
    first = next(iter(shown.values()))
    place = printable(Path(data_dir or "").expanduser().resolve().name)
    title = place if dataset == "folder" else dataset
    total = sum(one.size for one in shown.values())
    classes = len(first.labels)
    sizes = ", ".join(f"{one.size:,} {WORDS[name]}" for name, one in shown.items())
    images = f"{total:,} image{'s' * (total != 1)}"
    told = [f"{title}: {images} in {classes:,} class{'es' * (classes != 1)}: {sizes}"]
    if all(one.counts for one in shown.values()):
        rows = zip(*(one.counts for one in shown.values()), strict=True)
        told += _wrapped(_of_classes(first.labels, list(rows)))
    for line in dict.fromkeys(line for one in shown.values() for line in one.found):
        told += _wrapped(line)
    return told


def _of_classes(labels: tuple[str, ...], counts: list[tuple[int, ...]]) -> str:
    def told(i: int) -> str:
        parts = [printable(labels[i]) + ":", " + ".join(f"{count:,}" for count in counts[i])]
        return " ".join(parts).replace(" ", UNBROKEN)

    if len(labels) <= ALL:
        return ", ".join(map(told, range(len(labels))))
    order = sorted(range(len(labels)), key=lambda i: sum(counts[i]))
    return f"smallest {told(order[0])}, largest {told(order[-1])}"


def _wrapped(text: str) -> list[str]:
    lines = textwrap.wrap(
        text,
        WIDTH,
        initial_indent="  ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(UNBROKEN, " ") for line in lines]
