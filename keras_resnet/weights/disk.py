"""Files on disk: atomic replacement, and cached hashes."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Literal

__all__ = ["digest", "replacing"]

Kind = Literal["md5", "sha256"]


def digest(path: Path, kind: Kind = "sha256") -> str:
    """Returns the hash of a file in hexadecimal digits.

    The result is cached until the size, the inode or a time of the file changes.

    Raises:
        OSError: if it cannot be read.
    """
    status = path.stat()
    return _digest(
        path, kind, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )


@lru_cache(maxsize=16)
def _digest(path: Path, kind: Kind, *_: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, kind).hexdigest()


@contextmanager
def replacing(path: Path, prefix: str = ".partial") -> Iterator[Path]:
    """Yields the path of a temporary file beside `path`, which replaces `path` on success.

    A crash leaves either the old file or the new one; an error removes the temporary file.

    Args:
        path: of the file to write.
        prefix: of the name of the temporary file; it must differ between concurrent processes.
    """
    partial = path.with_name(f"{prefix}.{path.name}")
    try:
        yield partial
        partial.replace(path)
    finally:
        with suppress(NotADirectoryError):  # if the folder does not exist either
            partial.unlink(missing_ok=True)
