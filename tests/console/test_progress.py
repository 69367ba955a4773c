"""What is said of works that take long: when, and in which words."""

import os
import re
import subprocess
import sys

import pytest

from keras_resnet.console import progress
from keras_resnet.console.progress import Work
from tests.support import helpers


@pytest.fixture
def work(monkeypatch) -> Work:
    """A work that began at 100 seconds and took 20 until its first unit was done."""
    times = iter([100.0, 120.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(times))
    work = Work("evaluating", 10, "batches")
    work.advance(1, "loss 0.5")
    return work


def test_the_rest_is_estimated_without_the_first_unit(work):
    """It may have waited for a compiler: 4 units in 8 seconds, 5 units are left."""
    assert work.left(121.0) is None
    work.advance(4)
    assert work.left(128.0) == pytest.approx(10.0)
    told = "evaluating for 0:00:28: 5 of 10 batches, loss 0.5, 0:00:10 left"
    assert work.line(128.0) == told
    assert work.short(128.0) == "5/10  ETA 0:00:10  loss 0.5"


def test_a_work_of_unknown_size_has_a_time():
    work = Work("importing TensorFlow")
    assert work.line(work.began + 75) == "importing TensorFlow for 0:01:15"
    assert work.short(work.began + 75) == "0:01:15"


@pytest.mark.parametrize(
    ("passed", "silent", "due"),
    [
        (9, 9, False),
        (10, 10, True),
        (30, 9, False),
        (30, 10, True),
        (90, 59, False),
        (90, 60, True),
    ],
)
def test_silence_ends_after_ten_seconds_and_later_after_a_minute(passed, silent, due):
    work = Work("evaluating")
    now = work.began + passed
    assert bool(progress.due(work, now, now - silent)) == due


def test_a_line_before_the_work_counts_for_nothing():
    work = Work("evaluating")
    assert not progress.due(work, work.began + 9, work.began - 100)


def test_items_are_counted(monkeypatch):
    added: list[Work] = []

    class Display:
        add = staticmethod(added.append)
        remove = staticmethod(lambda work: None)

    monkeypatch.setattr(progress, "_displayed", Display)
    assert list(progress.each("abc", "evaluating", 3)) == ["a", "b", "c"]
    assert [(one.what, one.done, one.total) for one in added] == [("evaluating", 3, 3)]


SHOWN = """
import sys, time
from keras_resnet import console
from keras_resnet.console import progress
progress.SILENCE = 0.2
with progress.shown("outer"), progress.shown("inner", 3, "things") as work:
    console.say("a line")
    for i in range(3):
        time.sleep(1.0)
        work.advance(1, "note")
    print("the end")
"""
# The package without Keras, which takes seconds to import.
BARE = """
import sys, types
package = sys.modules["keras_resnet"] = types.ModuleType("keras_resnet")
package.__path__ = ["keras_resnet"]
"""


def test_lines_elsewhere():
    done = helpers.python("-c", BARE + SHOWN, TERM="xterm")
    assert done.returncode == 0, done.stderr
    first, *others, last = done.stdout.splitlines()
    assert (first, last) == ("a line", "the end")
    assert re.match(r"inner for 0:00:0\d(: \d of 3 things.*)?$", others[0])
    assert all(line.startswith("inner for ") for line in others)
    assert "\r" not in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize("notebook", [False, True])
def test_bars_in_a_terminal_and_lines_in_a_notebook(notebook):
    """A notebook gives its commands a terminal, of which it shows no cursor movement."""
    extra = {"JPY_PARENT_PID": "1"} if notebook else {}
    screen, terminal = os.openpty()
    environment = {k: v for k, v in os.environ.items() if k != "JPY_PARENT_PID"}
    command = [sys.executable, "-c", BARE + SHOWN]
    process = subprocess.Popen(
        command,
        cwd=helpers.ROOT,
        stdout=terminal,
        stderr=subprocess.PIPE,
        env={**environment, "TERM": "xterm", "COLUMNS": "80", **extra},
    )
    os.close(terminal)
    told = b""
    while chunk := read(screen):
        told += chunk
    _, errors = process.communicate()
    os.close(screen)
    assert process.returncode == 0, errors
    text = told.decode()
    assert "a line\r\n" in text
    assert "the end" in text
    assert ("\x1b[" in text) != notebook
    assert ("2/3" in text and "note" in text) != notebook
    assert "\x1b[?25l" not in text  # a process that is killed would leave no cursor


def read(screen: int) -> bytes:
    try:
        return os.read(screen, 4096)
    except OSError:  # the other side is closed
        return b""
