"""Names of classes: ImageNet's, the matching of a data set's to a network's, and predictions."""

import csv
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np
from keras import ops

__all__ = [
    "CIFAR10",
    "decode_predictions",
    "imagenet_labels",
    "near",
    "normalized",
    "numbers",
    "places",
    "quoted",
    "similar",
]

SHOWN = 5  # names in an error
# In the order of the data set's own `batches.meta`.
CIFAR10 = tuple("airplane automobile bird cat deer dog frog horse ship truck".split())  # noqa: SIM905


@lru_cache
def imagenet_labels() -> tuple[tuple[str, str], ...]:
    """Returns (WordNet id, name) of the 1,000 classes of ILSVRC 2012, in order of the logits."""
    file = resources.files("keras_resnet") / "imagenet_labels.csv"
    with file.open(encoding="utf-8") as lines:
        return tuple((row["wnid"], row["class_name"]) for row in csv.DictReader(lines))


def numbers(classes: int) -> tuple[str, ...]:
    """Returns "0", "1", ...: names for classes without names."""
    return tuple(map(str, range(classes)))


def places(names: Sequence[str], labels: Sequence[str]) -> tuple[int, ...]:
    """Returns for each class of a data set the index of its name among a network's labels.

    ImageNet's WordNet ids match ImageNet's names, also in a subset of the classes.

    Raises:
        ValueError: if a name is not a label, if several labels have it, or if two names have the
            same label; the message lists the names.
    """
    if tuple(names) == tuple(labels):
        return tuple(range(len(names)))
    meant = _meanings(labels)
    ids, full = zip(*imagenet_labels(), strict=True)
    # Two pairs of ImageNet's classes share a name: in a full list their positions tell them apart.
    found = [meant(name) for name in (ids if tuple(names) == full else names)]
    if missing := [name for name, places in zip(names, found, strict=True) if not places]:
        raise ValueError(
            f"the network has no class {quoted(missing)}{near(missing, labels)}; its classes are"
            f" {quoted(labels)}"
        )
    if twice := [name for name, places in zip(names, found, strict=True) if len(places) > 1]:
        raise ValueError(f"the network has several classes called {quoted(twice)}")
    by_place: dict[int, list[str]] = {}
    for name, (place,) in zip(names, found, strict=True):
        by_place.setdefault(place, []).append(name)
    for place, same in by_place.items():
        if len(same) > 1:
            raise ValueError(f"{quoted(same)} are one class of the network, {labels[place]!r}")
    return tuple(place for (place,) in found)


def _meanings(labels: Sequence[str]) -> Callable[[str], list[int]]:
    """Returns a function from a name to the indices of the labels that equal or mean it."""
    by_name: dict[str, list[int]] = {}
    for i, label in enumerate(labels):
        by_name.setdefault(label, []).append(i)
    names = dict(imagenet_labels())
    ids: dict[str, list[str]] = {}
    for wnid, name in imagenet_labels():
        ids.setdefault(name, []).append(wnid)
    # Two pairs of ImageNet's classes share a name: in a full list an id is found by its position.
    full = tuple(labels) == tuple(names.values())
    by_place = {wnid: [i] for i, wnid in enumerate(names)} if full else {}

    def meant(name: str) -> list[int]:
        if name in by_name:
            return by_name[name]
        if name in by_place:
            return by_place[name]
        others = [names[name]] if name in names else ids.get(name, [])
        return [i for other in others for i in by_name.get(other, [])]

    return meant


def normalized(name: str) -> str:
    """Returns a name in Unicode's normal form NFC."""
    return unicodedata.normalize("NFC", name)


def similar(name: str) -> str:
    """Returns a key that is equal for names that differ only in case, spaces or Unicode form."""
    return unicodedata.normalize("NFKC", name).casefold().strip()


def near(missing: Iterable[str], labels: Iterable[str]) -> str:
    """Returns a hint, in parentheses, at labels that are similar to missing names, or ""."""
    known: dict[str, str] = {similar(label): label for label in labels}
    pairs = [f"{name!r} and {known[similar(name)]!r}" for name in missing if similar(name) in known]
    if not pairs:
        return ""
    told = ", ".join(pairs[:SHOWN])
    return f" ({told} differ only by case, or in how Unicode writes them)"


def quoted(names: Sequence[str]) -> str:
    """Lists names for an error message: all, or the first ones and the total."""
    shown = ", ".join(map(repr, names[:SHOWN]))
    return shown if len(names) <= SHOWN else f"{shown} ... ({len(names):,} in all)"


def decode_predictions(probabilities: Any, top: int = 5) -> list[list[tuple[str, str, float]]]:
    """Returns the most probable classes of ImageNet, the most probable first.

    Args:
        probabilities: an array or tensor [batch, 1000] of any float dtype, in the order of
            `imagenet_labels`.
        top: number of classes to return per image.

    Returns:
        For each image a list of (WordNet id, name, probability).

    Raises:
        ValueError: for another shape, or if `top` is not between 1 and 1000.
    """
    labels = imagenet_labels()
    rows = np.asarray(ops.convert_to_numpy(probabilities))
    if rows.ndim != 2 or rows.shape[1] != len(labels):
        raise ValueError(f"probabilities must be [batch, {len(labels)}], got {rows.shape}")
    if not 1 <= top <= len(labels):
        raise ValueError(f"top must be between 1 and {len(labels)}, got {top}")
    best = np.argsort(-rows, axis=1, kind="stable")[:, :top]
    return [
        [(*labels[i], float(row[i])) for i in order] for row, order in zip(rows, best, strict=True)
    ]
