"""The directory of an export: its name, its room, and how it appears at once."""

import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

# TensorFlow Serving reads whole numbers of 64 bits. It takes 01 for 1 as well, which Triton ignores
# and which is another name of version 1.
VERSION = re.compile("0|[1-9][0-9]{0,18}")
LAST = 2**63 - 1


def check(out: Path, formats: Collection[str]) -> None:
    """Refuses a place that is taken, or a version that TensorFlow Serving would never see.

    Raises:
        FileExistsError: if something is there.
        ValueError: for a name that is no version, where a SavedModel is to be written.
    """
    if os.path.lexists(out):
        raise FileExistsError(f"{out} exists; export a new version beside it")
    version = bool(VERSION.fullmatch(out.name)) and int(out.name) <= LAST
    if "saved_model" in formats and not version:
        raise ValueError(
            f"{out} is not NAME/VERSION: TensorFlow Serving reads versions that are whole numbers,"
            f" such as {out}/1, and no {out.name!r}"
        )


def check_room(directory: Path, size: int) -> None:
    """Raises OSError if the disk of a directory has fewer free bytes."""
    free = shutil.disk_usage(directory).free
    if free < size:
        raise OSError(
            f"cannot write to {directory}: the files take {size / 1e6:.1f} MB, and"
            f" {free / 1e6:.1f} MB are free"
        )


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """Yields a new directory beside `out`, which becomes `out` when all is well.

    Each export has a directory of its own, under a name that no server takes for a version. Of
    two exports to one place the first to finish has it.

    Raises:
        FileExistsError: on leaving, if another export was faster.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    own = Path(tempfile.mkdtemp(prefix=f".partial.{out.name}.", dir=out.parent))
    try:
        stage = own / out.name  # as `mkdir` makes it: `mkdtemp` would lock the server out
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
            f"{out} was written by somebody else meanwhile; export a new version beside it"
        ) from error
