"""Finds the images below a folder, for training and calibration.

A file with a known suffix is an image, and is not opened. Another file is an image if its first
bytes are those of an image. All other files are left out, each with a reason. The serving client
(`saved_models/serving/client/files.py`) follows the same rules without this package.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from keras_resnet.preprocessing.image_kinds import HEAD, READ, has_suffix, hidden, kind_of

__all__ = ["Found", "LeftOut", "Reason", "find", "listed", "printable"]


class Reason(NamedTuple):
    """Why files are left out: the words for one and for several, and what to do."""

    one: str
    many: str
    cure: str = ""


HIDDEN_FILE = Reason("hidden file", "hidden files")
HIDDEN_FOLDER = Reason("hidden folder", "hidden folders")
EMPTY = Reason("folder without images", "folders without images")
OTHER = Reason("file that is not an image", "files that are not images")
SPECIAL = Reason("pipe, socket or device", "pipes, sockets or devices")
BROKEN_LINK = Reason("link that leads nowhere", "links that lead nowhere")
CYCLE = Reason("link to a folder that contains it", "links to folders that contain them")
UNREADABLE = Reason("file that cannot be read", "files that cannot be read")


def unsupported(kind: str) -> Reason:
    """Returns the reason for images of a kind that TensorFlow cannot decode."""
    return Reason(f"{kind} file", f"{kind} files", "not supported: convert to PNG")


class LeftOut:
    """Counts files that were left out, by reason, and keeps some names per reason."""

    NAMES = 3

    def __init__(self) -> None:
        self.counts: dict[Reason, int] = {}
        self.names: dict[Reason, list[str]] = {}

    def add(self, reason: Reason, name: str) -> None:
        """Counts a file by its reason."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        # The first ones by name: the order of the file system varies.
        kept = self.names.setdefault(reason, [])
        kept.append(name)
        kept.sort()
        del kept[self.NAMES :]

    def __str__(self) -> str:
        return ", ".join(self._told(reason) for reason in sorted(self.counts))

    def _told(self, reason: Reason) -> str:
        count = self.counts[reason]
        names = listed(self.names[reason], count)
        told = f"{names}; {reason.cure}" if reason.cure else names
        return f"{count:,} {reason.one if count == 1 else reason.many} ({told})"


@dataclass(frozen=True)
class Found:
    """The images in a folder: sorted paths relative to it, with "/" as separator."""

    files: list[str]
    left_out: LeftOut = field(default_factory=LeftOut)


def find(folder: str | os.PathLike[str]) -> Found:
    """Finds the images in a folder and in all folders below it; links are followed.

    Raises:
        ValueError: if a folder cannot be read.
    """
    root = os.fspath(folder)
    files = []
    left_out = LeftOut()
    folders = {"": ""}  # each folder: its parent
    full = {""}  # folders with images
    pending: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
    while pending:
        place, above = pending.pop()
        try:
            status = os.stat(os.path.join(root, place))  # noqa: PTH116, PTH118
            with os.scandir(os.path.join(root, place)) as entries:  # noqa: PTH118
                inside = list(entries)
        except OSError as error:
            name = printable(os.path.join(root, place))  # noqa: PTH118
            raise ValueError(f"the folder {name} cannot be read: {error.strerror}") from error
        above |= {(status.st_dev, status.st_ino)}
        for entry in inside:
            path = f"{place}/{entry.name}" if place else entry.name
            found = _sorted(entry, above)
            if found is None:
                files.append(path)
                full.add(place)
            elif found is FOLDER:
                pending.append((path, above))
                folders[path] = place
            else:
                left_out.add(found, path)
    _tell_empty(folders, full, left_out)
    return Found(sorted(files, key=lambda path: path.replace("/", "\0")), left_out)


FOLDER = Reason("folder", "folders")


def _sorted(entry: os.DirEntry[str], above: Iterable[tuple[int, int]]) -> Reason | None:
    """Returns None for an image, `FOLDER` for a folder to search, or the reason to leave out."""
    if hidden(entry.name):
        return HIDDEN_FOLDER if entry.is_dir(follow_symlinks=False) else HIDDEN_FILE
    try:
        if entry.is_dir():
            status = entry.stat() if entry.is_symlink() else None
            return CYCLE if status and (status.st_dev, status.st_ino) in above else FOLDER
        if entry.is_file():
            return None if has_suffix(entry.name) else _by_content(entry.path)
        return SPECIAL if os.path.exists(entry.path) else BROKEN_LINK  # noqa: PTH110
    except OSError:  # such as a link to itself
        return BROKEN_LINK


def _by_content(path: str) -> Reason | None:
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            kind = kind_of(file.read(HEAD))
    except OSError:
        return UNREADABLE
    if kind in READ:
        return None
    return unsupported(kind) if kind else OTHER


def _tell_empty(folders: dict[str, str], full: set[str], left_out: LeftOut) -> None:
    """Adds the outermost folders without images in or below them."""
    for place in list(full):
        outer = place
        while outer and folders[outer] not in full:
            outer = folders[outer]
            full.add(outer)
    for place, outer in folders.items():
        if place not in full and outer in full:
            left_out.add(EMPTY, place)


def printable(name: str) -> str:
    """Escapes bytes that are not UTF-8, and characters that cannot be printed, in a name."""
    text = os.fsencode(name).decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def listed(names: Iterable[str], count: int) -> str:
    """Joins names for a message; `count` is the total number."""
    shown = [printable(name) for name in names]
    return ", ".join(shown + ["..."] * (count > len(shown)))
