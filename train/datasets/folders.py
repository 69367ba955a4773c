"""A folder of images as a data set: the split and the class of each image.

If the folder has no splits, a tenth of each class is held out, chosen only by the names of the
files: photos that are added later never move an image from training into the test split.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_resnet.labels import near, quoted
from keras_resnet.preprocessing import decoding, image_files, image_kinds
from keras_resnet.preprocessing.image_files import LeftOut, Reason, printable
from keras_resnet.preprocessing.views import Look, whole
from train.datasets import layouts
from train.datasets.examples import Examples, Pair, indices, part
from train.datasets.layouts import Classes

HELD_OUT = 2**64 // 10  # files with ranks below are for testing
STRAY = Reason("image in no folder of a class", "images in no folder of a class")


@dataclass(frozen=True)
class Folder:
    """The images of a folder.

    Attributes:
        root: the folder.
        splits: for each split its files by class, relative to the folder.
        labels: the classes, sorted.
        held_out: whether the folder has no splits, so that the test split was held out.
        notes: lines for people.
    """

    root: str
    splits: Mapping[str, Classes]
    labels: tuple[str, ...]
    held_out: bool
    notes: tuple[str, ...] = ()


def load(split: str, data_dir: str | None, validation: int = 0) -> Examples:
    """Opens a split of a folder.

    Raises:
        ValueError: if splits or classes of the folder are ambiguous, or the split is missing.
    """
    return _split(read(data_dir, validation), split)


def splits(data_dir: str | None, validation: int = 0) -> dict[str, Examples]:
    """Opens the splits for training and testing, and for validation if there is one.

    The folder is listed once.

    Raises:
        ValueError: as `load`.
    """
    folder = read(data_dir, validation)
    own = ["validation"] if "validation" in folder.splits else []
    return {name: _split(folder, name) for name in ("train", "test", *own)}


def _split(folder: Folder, split: str) -> Examples:
    if split in folder.splits:
        return _examples(folder, folder.splits[split])
    there = " and ".join(f"{name}/" for name in folder.splits)
    if split == "train":
        raise ValueError(
            f"{folder.root} has {there} but no train/: it can be evaluated on, not trained on"
        )
    if split == "validation":
        raise ValueError("the split 'validation' needs validation=, the examples to hold out")
    raise ValueError(f"{folder.root} has {there} but no test/, validation/ or val/")


def _examples(folder: Folder, classes: Classes) -> Examples:
    counts = tuple(len(classes.get(label, ())) for label in folder.labels)
    listing = [os.fsencode(file) for label in folder.labels for file in classes.get(label, ())]
    root = os.fsencode(folder.root)
    files = tf.constant(listing, tf.string)
    labels = tf.constant(np.repeat(np.arange(len(counts)), counts), tf.int64)

    def name(index: tf.Tensor) -> tf.Tensor:
        return tf.strings.join([root, b"/", files[index]])

    def decode(index: tf.Tensor, look: Look = whole) -> Pair:
        return decoding.decode_view(tf.io.read_file(name(index)), 3, look), labels[index]

    return Examples(
        len(listing),
        folder.labels,
        3,
        indices(len(listing)),
        decode,
        name,
        listing=listing,
        held_out_by_name=folder.held_out,
        counts=counts,
        found=folder.notes,
    )


def read(data_dir: str | None, validation: int = 0) -> Folder:
    """Finds the splits, classes and images of a folder.

    Args:
        data_dir: the folder of CLASS/x.jpg, or of train/CLASS/x.jpg and test/CLASS/x.jpg.
        validation: how many training examples to hold out as the split "validation".

    Raises:
        ValueError: naming what is ambiguous or missing, and what to do.
    """
    if data_dir is None:
        raise ValueError("dataset='folder' needs data_dir, the directory of CLASS/xxx.jpg")
    root = str(Path(data_dir))
    found = image_files.find(root)
    try:
        layout = layouts.arrange(found.files)
        for file in layout.stray:
            found.left_out.add(STRAY, file)
        if not any(layout.splits.values()):
            raise ValueError(_no_images(found.left_out))
        for split, classes in layout.splits.items():
            layouts.check_classes(classes, 1 if split else 0)
        splits = _splits(layout.splits, validation)
        known = [splits["train"]] if "train" in splits else splits.values()
        labels = tuple(sorted({name for classes in known for name in classes}))
        _check_known(splits, labels)
    except ValueError as error:
        raise ValueError(f"{printable(root)}: {error}") from error
    notes = _notes(layout.splits, splits, labels, found.left_out)
    return Folder(root, splits, labels, "" in layout.splits, notes)


def _no_images(left_out: LeftOut) -> str:
    suffixes = ", ".join(image_kinds.SUFFIXES)
    there = str(left_out)
    return f"no images ({suffixes}) in folders of classes; " + (
        f"there is only: {there}" if there else "it is empty"
    )


def _splits(found: Mapping[str, Classes], validation: int) -> dict[str, Classes]:
    """Returns the classes of train, test and validation, of which some may be missing."""
    splits = dict(found)
    if "" in splits:
        _check_number(splits[""], "")
        splits["train"], splits["test"] = _hold_out(splits.pop(""))
    elif "train" in splits:
        _check_number(splits["train"], "train/")
    if "test" not in splits and "validation" in splits:
        splits["test"] = splits.pop("validation")
    if not validation:
        return splits
    if "validation" in splits:
        raise ValueError(
            f"it has a validation split of its own, so validation={validation} is one"
            " too many: leave it out, or move the folder away"
        )
    if "train" not in splits:
        raise ValueError(f"validation={validation} is held out of train/, which is missing")
    splits["train"], splits["validation"] = _take(splits["train"], validation)
    return splits


def _check_number(classes: Classes, split: str) -> None:
    """Refuses a single class: its folder may be the one that holds the classes."""
    if len(classes) > 1:
        return
    ((name, files),) = classes.items()
    inside = list(layouts.level(files, 2 if split else 1).below)
    hint = f"; if its folders {quoted(inside)} are the classes, " if inside else ""
    if inside:
        hint += (
            f"move them up into {split}" if split else f"{printable(name)}/ is the data_dir to give"
        )
    raise ValueError(f"there is one class, {name!r}; training needs two or more{hint}")


def _rank(file: str) -> int:
    """Returns a number below 2^64 that depends only on the path of a file within the folder."""
    return int.from_bytes(hashlib.sha256(os.fsencode(file)).digest()[:8], "big")


def _hold_out(classes: Classes) -> tuple[Classes, Classes]:
    """Divides files into training and testing: a tenth of each class, and at least one file."""
    train: Classes = {}
    test: Classes = {}
    for name, files in classes.items():
        ranks = [_rank(file) for file in files]
        bound = max(HELD_OUT, min(ranks) + 1)
        test[name] = [file for file, rank in zip(files, ranks, strict=True) if rank < bound]
        train[name] = [file for file, rank in zip(files, ranks, strict=True) if rank >= bound]
    _check_rest(train, classes, "a tenth of each class, and at least one, is held out for testing")
    return train, test


def _take(classes: Classes, count: int) -> tuple[Classes, Classes]:
    """Returns the files that are left for training, and the `count` files of the smallest ranks."""
    files = [file for name in classes for file in classes[name]]
    part("validation", len(files), count)  # refuses too many
    held = set(sorted(files, key=_rank)[:count])
    rest = {name: [file for file in classes[name] if file not in held] for name in classes}
    taken = {name: [file for file in classes[name] if file in held] for name in classes}
    _check_rest(rest, classes, f"{count} images are held out by validation={count}")
    return rest, taken


def _check_rest(rest: Classes, classes: Classes, why: str) -> None:
    short = [f"{name!r} ({len(classes[name])} in all)" for name in rest if not rest[name]]
    if short:
        shown = ", ".join(short[:5]) + (" ..." if len(short) > 5 else "")
        raise ValueError(
            f"no images are left to train on of {shown}, as {why}; add images, or give"
            " train/ and test/ folders"
        )


def _check_known(splits: Mapping[str, Classes], labels: tuple[str, ...]) -> None:
    for split in splits:
        if unknown := sorted(set(splits[split]) - set(labels)):
            raise ValueError(
                f"the {split} split has classes that training lacks: {quoted(unknown)}"
                f"{near(unknown, labels)}; training has {quoted(labels)}"
            )


def _notes(
    layout: Mapping[str, Classes],
    splits: Mapping[str, Classes],
    labels: tuple[str, ...],
    left_out: LeftOut,
) -> tuple[str, ...]:
    notes = []
    if "" in layout:
        notes.append("test images: a tenth of each class, chosen by the names of the files")
    untested = [label for label in labels if not splits.get("test", {}).get(label)]
    if untested and "test" in splits:
        notes.append(f"without test images: {quoted(untested)}")
    notes += [f"classes whose names nearly agree: {quoted(n)}" for n in layouts.alike(labels)]
    if told := str(left_out):
        notes.append(f"left out: {told}")
    return tuple(notes)
