"""The images that a command line names: files, folders, URLs, archives, and standard input."""

import itertools
import sys
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError

import numpy as np

from keras_resnet.preprocessing import image_files
from keras_resnet.preprocessing.pixels import decoded, pixels
from keras_resnet.preprocessing.preprocessing import Preprocessing

__all__ = ["Item", "batches", "named"]

STDIN = "-"
SECONDS = 20  # until a server that does not answer is an error
MOST_BYTES = 2**28  # of a download; the largest image that is decoded has fewer uncompressed
AGENT = {"User-Agent": "keras-resnet"}  # some servers refuse that of Python
Reader = Callable[[Preprocessing, int], Any]


class Item(NamedTuple):
    """An image that is not read yet.

    Attributes:
        name: that an answer is printed under.
        read: maps a preprocessing and channels to float32 [height, width, channels] of 0..255, as
            the network sees it; raises ValueError or OSError.
        label: the index of its class, if the input tells it.
    """

    name: str
    read: Reader
    label: int | None = None


def named(words: tuple[str, ...]) -> list[Item]:
    """Lists the images that words name; a folder is searched, in and below it.

    Args:
        words: paths of files and folders, URLs, archives of `train.evaluate --examples_out`, or "-"
            for an image on standard input.

    Raises:
        ValueError: if there is none, for a folder without images, and for an invalid archive.
    """
    if not words:
        raise ValueError(
            "no images: give files, folders, https://... or - for standard input; see --help"
        )
    if words.count(STDIN) > 1:
        raise ValueError(
            f"{STDIN} is given {words.count(STDIN)} times; standard input is one image"
        )
    return [item for word in words for item in _named(word)]


def _named(word: str) -> list[Item]:
    if word == STDIN:
        return [Item("standard input", _of_stdin)]
    if word.lower().startswith(("http://", "https://")):
        return [Item(word, partial(_of_url, word))]
    path = Path(word).expanduser()
    if path.is_dir():
        return _of_folder(path)
    if path.suffix == ".npz":
        return _of_archive(path)
    return [Item(image_files.printable(word), partial(_of_file, path))]


def batches(items: list[Item], size: int) -> Iterator[list[Item]]:
    """Groups items."""
    remaining = iter(items)
    while batch := list(itertools.islice(remaining, size)):
        yield batch


def _of_folder(folder: Path) -> list[Item]:
    found = image_files.find(folder)
    if not found.files:
        told = f"; left out: {found.left_out}" if found.left_out.counts else ""
        raise ValueError(f"no images in the folder {folder}{told}")
    if found.left_out.counts:
        print(f"left out in {folder}: {found.left_out}", file=sys.stderr)
    paths = [folder / file for file in found.files]
    return [Item(image_files.printable(str(path)), partial(_of_file, path)) for path in paths]


def _of_archive(path: Path) -> list[Item]:
    """Lists the images of a file of `train.evaluate --examples_out`, with their labels."""
    try:
        with np.load(path) as archive:
            images = archive["images"]
            labels = archive.get("labels")
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"{path} cannot be read: {error}; an archive holds images [n, height, width, channels]"
            " of 0..255 and, where known, labels [n]"
        ) from error
    known = itertools.repeat(None) if labels is None else map(int, labels)
    pairs = enumerate(zip(images, known, strict=labels is not None))
    return [Item(f"{path}[{i}]", partial(_of_array, image), label) for i, (image, label) in pairs]


def _of_file(path: Path, preprocessing: Preprocessing, channels: int) -> Any:
    return preprocessing.resize(pixels(path, channels))


def _of_stdin(preprocessing: Preprocessing, channels: int) -> Any:
    return preprocessing.resize(decoded(sys.stdin.buffer.read(), channels, "standard input"))


def _of_url(url: str, preprocessing: Preprocessing, channels: int) -> Any:
    request = urllib.request.Request(url, headers=AGENT)
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            data = answer.read(MOST_BYTES + 1)
    except (OSError, HTTPException, ValueError) as error:
        if isinstance(error, HTTPError):
            error.close()
        raise ValueError(f"{url} cannot be downloaded: {error}") from error
    if len(data) > MOST_BYTES:
        raise ValueError(f"{url} has more than {MOST_BYTES:,} bytes, too many for an image")
    return preprocessing.resize(decoded(data, channels, url))


def _of_array(image: Any, preprocessing: Preprocessing, channels: int) -> Any:
    """Takes images of the network's size as they are: they were resized when they were written."""
    if image.shape == (*preprocessing.size, channels):
        return image.astype(np.float32)
    return preprocessing.resize(pixels(image, channels))
