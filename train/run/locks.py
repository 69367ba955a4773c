"""One run at a time in a workdir: a lock that the kernel releases when its owner ends."""

import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from train.run import files

MISSING = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)  # file systems without locks


@contextmanager
def held(workdir: Path) -> Iterator[None]:
    """Holds the workdir for this process.

    The lock is that of `flock`. It holds across machines if the file system supports that, as NFS
    does.

    Raises:
        ValueError: if another run holds it, naming its host, its process and since when.
        OSError: if the file of the lock cannot be written.
    """
    path = workdir / files.LOCK
    file = _opened(path)
    try:
        _write(file, {"host": socket.gethostname(), "pid": os.getpid(), "since": _now()})
        yield
    finally:
        path.unlink(missing_ok=True)  # before others can lock it
        os.close(file)


def _opened(path: Path) -> int:
    """Returns the locked file, which no other process has removed in the meantime."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(file, path.parent)
            if path.exists() and os.path.samestat(os.fstat(file), path.stat()):
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def _lock(file: int, workdir: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ValueError(
            f"another run writes to workdir {str(workdir)!r}: {_owner(file)}; wait for it, stop it,"
            " or choose another workdir"
        ) from error
    except OSError as error:
        if error.errno not in MISSING:
            raise
        print(
            f"workdir {workdir} is on a file system without locks ({error.strerror}): nothing"
            " keeps a second run out of it",
            flush=True,
        )


def _owner(file: int) -> str:
    try:
        told = json.loads(os.pread(file, 4096, 0))
        return f"process {told['pid']} on {told['host']}, since {told['since']}"
    except (ValueError, TypeError, KeyError):  # its owner has not written yet
        return "its process is not known yet"


def _write(file: int, owner: dict[str, object]) -> None:
    """Writes who holds the lock; on a full disk the lock holds without it."""
    try:
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps(owner).encode() + b"\n", 0)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
