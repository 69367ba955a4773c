"""Which files are sent, and in which batches; names only, until a batch's turn has come."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
MAX_REQUEST = 2**24  # bytes of a batch; a larger image goes alone
MAX_FILE = 2**28  # bytes; as much as the largest image that the server takes, not compressed


def walk(paths: Iterable[Path]) -> Iterator[Path]:
    """Yields files as they are given, and the images in and below folders, sorted by name.

    A folder that cannot be read is yielded itself, so that somebody tells of it.
    """
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        unread: list[OSError] = []
        for folder, folders, names in os.walk(path, onerror=unread.append):
            folders.sort()
            for name in sorted(names):
                if name.lower().endswith(SUFFIXES):
                    yield Path(folder, name)
        yield from (Path(error.filename) for error in unread)


def batches(files: Iterable[Path], size: int) -> Iterator[list[Path]]:
    """Groups files to at most `size`, and `MAX_REQUEST` bytes."""
    batch: list[Path] = []
    total = 0
    for file in files:
        try:
            weight = file.stat().st_size
        except OSError:
            weight = 0  # whoever reads it will tell
        if batch and (len(batch) == size or total + weight > MAX_REQUEST):
            yield batch
            batch, total = [], 0
        batch.append(file)
        total += weight
    if batch:
        yield batch


def read(file: Path) -> bytes:
    """Returns the bytes of an image.

    Raises:
        OSError: if it is no file, cannot be read, or is too large for any image.
    """
    if not file.exists():
        raise FileNotFoundError("no such file")
    if file.is_dir():
        raise OSError("a folder that cannot be read")
    if not file.is_file():
        raise OSError("not a regular file")
    if (size := file.stat().st_size) > MAX_FILE:
        raise OSError(f"{size} bytes; at most {MAX_FILE} are sent")
    return file.read_bytes()
