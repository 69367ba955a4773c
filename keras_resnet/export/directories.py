"""The directory of an export: its name, its disk space, and how it appears all at once."""

import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["check", "check_room", "staged"]

# TensorFlow Serving reads versions as integers of 64 bits. It reads 01 as 1, but Triton ignores 01,
# and one version should not have two names.
VERSION = re.compile("0|[1-9][0-9]{0,18}")
LAST = 2**63 - 1


def check(out: Path, formats: Collection[str]) -> None:
    """Refuses a path that exists, and a version that TensorFlow Serving would never see.

    Args:
        out: the directory to write.
        formats: names of the formats to write into it.

    Raises:
        FileExistsError: if the path exists.
        ValueError: if a SavedModel is among the formats and the last part of the path is not a
            version.
    """
    if os.path.lexists(out):
        raise FileExistsError(f"{out} exists; export a new version beside it")
    valid = bool(VERSION.fullmatch(out.name)) and int(out.name) <= LAST
    if "saved_model" in formats and not valid:
        raise ValueError(
            f"{out} is not NAME/VERSION: TensorFlow Serving only reads versions that are whole"
            f" numbers, such as {out}/1, not {out.name!r}"
        )


def check_room(directory: Path, size: int) -> None:
    """Raises OSError if the disk of a directory has fewer than `size` bytes free."""
    free = shutil.disk_usage(directory).free
    if free < size:
        raise OSError(
            f"cannot write to {directory}: the files take {size / 1e6:.1f} MB, and"
            f" {free / 1e6:.1f} MB are free"
        )


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """Yields a new directory beside `out`; on leaving without an error it is renamed to `out`.

    Each export has its own directory, under a name that no server takes for a version. If two
    exports write to one path, the first one to finish gets it. After an error nothing is left.

    Raises:
        FileExistsError: on leaving, if another export was faster.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    own = Path(tempfile.mkdtemp(prefix=f".partial.{out.name}.", dir=out.parent))
    try:
        stage = own / out.name  # by `mkdir`: what `mkdtemp` creates no other user may read
        stage.mkdir()
        yield stage
        _publish(stage, out)
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _publish(stage: Path, out: Path) -> None:
    try:
        stage.rename(out)
    except OSError as error:
        if not os.path.lexists(out):
            raise
        raise FileExistsError(
            f"{out} was written by another process meanwhile; export a new version beside it"
        ) from error
