"""Which files are sent, and in which batches; files are read when their batch is sent."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from saved_models.serving.client.image_kinds import HEAD, has_suffix, hidden, kind_of

SERVED = ("JPEG", "PNG", "WebP")
MAX_REQUEST = 2**24  # bytes of a batch; a larger image is sent alone
MAX_FILE = 2**28  # bytes; the largest image that the server takes has fewer even uncompressed


def walk(paths: Iterable[Path]) -> Iterator[Path]:
    """Yields files as given, and the images in and below folders, sorted by name.

    Which files are images is decided as in training: by a usual suffix, or else by the first bytes,
    even for kinds that no server takes; hidden files are left out. Links are followed. A folder
    that cannot be read is yielded itself, so that its error is reported.
    """
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        unread: list[Path] = []
        yield from _images(path, unread)
        yield from unread


def _images(root: Path, unread: list[Path]) -> Iterator[Path]:
    pending: list[tuple[str, frozenset[tuple[int, int]]]] = [(str(root), frozenset())]
    while pending:
        folder, above = pending.pop()
        try:
            status = Path(folder).stat()
            if (status.st_dev, status.st_ino) in above:
                continue  # a link back to a folder above
            above |= {(status.st_dev, status.st_ino)}
            with os.scandir(folder) as found:
                entries = sorted((e for e in found if not hidden(e.name)), key=lambda e: e.name)
        except OSError:
            unread.append(Path(folder))
            continue
        folders = [entry for entry in entries if _is_folder(entry)]
        pending += [(entry.path, above) for entry in reversed(folders)]
        yield from (Path(entry.path) for entry in entries if _is_image(entry))


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_image(entry: "os.DirEntry[str]") -> bool:
    """Whether to send a file; one that looks like an image but cannot be read is an error later."""
    if _is_folder(entry):
        return False
    if has_suffix(entry.name):
        return True
    try:
        if not entry.is_file():
            return False
        with Path(entry.path).open("rb") as file:
            return kind_of(file.read(HEAD)) != ""
    except OSError:
        return False


def batches(files: Iterable[Path], size: int) -> Iterator[list[Path]]:
    """Groups files into batches of at most `size` files and `MAX_REQUEST` bytes."""
    batch: list[Path] = []
    total = 0
    for file in files:
        try:
            weight = file.stat().st_size
        except OSError:
            weight = 0  # `read` reports the error
        if batch and (len(batch) == size or total + weight > MAX_REQUEST):
            yield batch
            batch = []
            total = 0
        batch.append(file)
        total += weight
    if batch:
        yield batch


def read(file: Path) -> bytes:
    """Returns the bytes of an image.

    Raises:
        OSError: if it is not a file, cannot be read, is larger than any image that the server
            takes, or is an image of another kind than JPEG, PNG and WebP.
    """
    if not file.exists():
        raise FileNotFoundError("no such file")
    if file.is_dir():
        raise OSError("a folder that cannot be read")
    if not file.is_file():
        raise OSError("not a regular file")
    if (size := file.stat().st_size) > MAX_FILE:
        raise OSError(f"{size} bytes; at most {MAX_FILE} are sent")
    data = file.read_bytes()
    if (kind := kind_of(data[:HEAD])) and kind not in SERVED:
        raise OSError(f"a {kind} file; the server takes {', '.join(SERVED)}")
    return data
