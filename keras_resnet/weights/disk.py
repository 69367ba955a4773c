"""Files on disk: replaced as a whole, and hashed once."""

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

    A file that was hashed before is not read again, unless its size, its inode or one of its times
    has changed.

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
    """Yields the path of a new file beside `path`, which replaces it where no error comes.

    A crash leaves the old file or the new one.

    Args:
        path: of the file to write.
        prefix: of the name of the new file; one of its own for each process that may write it.
    """
    partial = path.with_name(f"{prefix}.{path.name}")
    try:
        yield partial
        partial.replace(path)
    finally:
        with suppress(NotADirectoryError):  # where the folder could not be made either
            partial.unlink(missing_ok=True)
