"""What the folders in a data set's folder mean: splits, classes, or neither.

Names and structure decide: a folder called `train` that holds folders of images is a split, and one
that holds images itself, beside other classes, is a class. Ambiguous layouts are refused.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from keras_resnet.labels import normalized, similar
from keras_resnet.preprocessing.image_files import listed, printable

WORDS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation", "dev", "eval", "evaluation"),
    "test": ("test", "testing"),
}
SPLITS = {word: split for split, words in WORDS.items() for word in words}
ALLOWED = "train, val (or valid, validation), test"

Classes = dict[str, list[str]]  # files by class


class Layout(NamedTuple):
    """Classes by split, with the split "" if there are no splits; and images in no class."""

    splits: dict[str, Classes]
    stray: list[str]


class Level(NamedTuple):
    """The files of a folder, and by the name of each folder in it, all files below that one."""

    direct: list[str]
    below: Classes


def level(files: Iterable[str], depth: int) -> Level:
    """Groups files by the part of their path at a depth, counted from 0."""
    direct: list[str] = []
    below: Classes = {}
    for file in files:
        parts = file.split("/", depth + 1)
        if len(parts) == depth + 1:
            direct.append(file)
        else:
            below.setdefault(parts[depth], []).append(file)
    return Level(direct, below)


def arrange(files: Iterable[str]) -> Layout:
    """Finds splits and classes.

    Args:
        files: paths below the data set's folder, parts joined by "/".

    Raises:
        ValueError: if the layout is ambiguous or invalid.
    """
    stray, tops = level(files, 0)
    named = {name: level(tops[name], 1) for name in tops if name.casefold() in SPLITS}
    holding = [name for name, inside in named.items() if inside.below]
    if not holding:
        if named and len(named) == len(tops):
            raise ValueError(
                "there are no folders of classes, only splits with images in them"
                f" ({_folders(named)}): put the images of each class into a folder, such as"
                " train/cat/ and train/dog/"
            )
        return Layout({"": tops}, stray)
    _check_splits(named, [name for name in tops if name not in named])
    splits: dict[str, Classes] = {}
    for name, inside in named.items():
        split = SPLITS[name.casefold()]
        if split in splits:
            same = [other for other in named if SPLITS[other.casefold()] == split]
            raise ValueError(f"{_folders(same)} are both the {split} split: keep one")
        splits[split] = inside.below
    return Layout(splits, stray)


def _check_splits(named: Mapping[str, Level], others: list[str]) -> None:
    for name, (direct, below) in named.items():
        if direct and below:
            raise ValueError(
                f"{_folders([name])} holds images ({listed(direct[:2], len(direct))}) beside"
                f" folders of images ({_folders(below)}): a split holds only folders, one per"
                " class, and a class called so holds only images"
            )
    if others:
        split = next(name for name, inside in named.items() if inside.below)
        raise ValueError(
            f"{_folders([split])} has the name of a split and holds folders, but beside it there"
            f" are images in {_folders(others)}: splits ({ALLOWED}) stand beside splits, and"
            " classes beside classes; move or rename what does not belong"
        )
    for name, (direct, below) in named.items():
        if not below:
            raise ValueError(
                f"{_folders([name])} holds {len(direct):,} images that are in no folder of a class:"
                " put each into the folder of its class, or move them away"
            )


def check_classes(classes: Classes, depth: int) -> None:
    """Refuses names that no label can have, and a level of folders between data set and classes.

    Args:
        classes: files by class.
        depth: of the folders of the classes: 0 if they are in the data set's own folder.

    Raises:
        ValueError: naming the folders.
    """
    for name in classes:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"the name of the folder {printable(name)} is not UTF-8, and would be"
                " the name of a class: rename it"
            ) from error
    for names in alike(classes, normal=True):
        raise ValueError(
            f"the folders {', '.join(map(ascii, names))} look the same, but Unicode"
            " writes their names in several ways: keep one"
        )
    inside = [level(files, depth + 1) for files in classes.values()]
    common = set.intersection(*(set(one.below) for one in inside)) if inside else set()
    if len(classes) > 1 and len(common) > 1 and not any(one.direct for one in inside):
        raise ValueError(
            f"each of the folders {_folders(classes)} holds no images but folders, of which"
            f" {_folders(sorted(common))} are in all of them: which of the two levels are the"
            " classes? Move the folders of classes up, or the images into them"
        )


def alike(names: Iterable[str], *, normal: bool = False) -> list[list[str]]:
    """Groups names that differ only by case or, if `normal`, only in their Unicode form."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(normalized(name) if normal else similar(name), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def _folders(names: Iterable[str]) -> str:
    names = [f"{name}/" for name in names]
    return listed(names[:5], len(names))
