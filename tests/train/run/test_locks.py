"""Two runs in one workdir: the second is refused, and a dead owner's lock is free."""

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from tests.support.helpers import ROOT
from train.run import files, locks

HOLDS = """
import os, sys, time
from pathlib import Path
from train.run import files, locks
with locks.held(Path(sys.argv[1])):
    print(os.getpid(), flush=True)
    time.sleep(60)
"""


@pytest.fixture
def owner(tmp_path):
    """A process that holds the lock."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert int(running.stdout.readline()) == running.pid
        yield running
        running.kill()


def test_the_second_is_told_who_the_first_is(tmp_path, owner):
    with pytest.raises(ValueError, match="another run writes") as error, locks.held(tmp_path):
        pass
    assert f"process {owner.pid} on {socket.gethostname()}, since 20" in str(error.value)
    assert owner.poll() is None


def test_a_dead_owner_holds_nothing(tmp_path, owner):
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    with locks.held(tmp_path):
        assert json.loads((tmp_path / files.LOCK).read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", [ValueError, SystemExit, KeyboardInterrupt, None], ids=str)
def test_the_lock_goes_with_its_owner(tmp_path, ending):
    try:
        with locks.held(tmp_path):
            if ending:
                raise ending
    except BaseException as error:
        assert isinstance(error, ending)  # noqa: PT017
    with locks.held(tmp_path):
        pass


def test_a_lock_on_a_file_that_was_removed_is_not_enough(tmp_path, monkeypatch):
    """The owner leaves between the opening of its file and the lock on it."""
    usual = fcntl.flock
    removed: list[int] = []

    def flock(file: int, how: int) -> None:
        usual(file, how)
        if not removed:
            (tmp_path / files.LOCK).unlink()
            removed.append(file)

    monkeypatch.setattr(fcntl, "flock", flock)
    with locks.held(tmp_path):
        assert (tmp_path / files.LOCK).exists()
        monkeypatch.undo()
        with pytest.raises(ValueError, match="another run"), locks.held(tmp_path):
            pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS])
def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch, capsys, number):
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with locks.held(tmp_path):
        pass
    assert "is on a file system without locks" in capsys.readouterr().out


def test_an_owner_that_has_said_nothing_yet(tmp_path):
    with (tmp_path / files.LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match="its process is not known yet"), locks.held(tmp_path):
            pass


def test_each_of_many_owns_the_lock_or_is_refused(tmp_path):
    """Processes that start together, each of which wants the lock for a moment."""
    code = HOLDS.replace("time.sleep(60)", "time.sleep(1)")
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    first = time.monotonic()
    ended = [process.communicate() for process in started]
    assert time.monotonic() - first < 30
    owners = [out for out, _ in ended if out]
    refused = [err for _, err in ended if "another run writes to workdir" in err]
    assert len(owners) >= 1
    assert len(owners) + len(refused) == len(started)
