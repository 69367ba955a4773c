"""Signals that meet a process where no Python code runs, and where exceptions are swallowed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support import helpers
from tests.support.helpers import ROOT
from train.run import interruption

# What a process does when the signal arrives; the first three never run a handler in time.
STATES = {
    "in a call of C": "compute()",
    "in a call of C, in a handler": "signal.signal(10, compute); os.kill(os.getpid(), 10)",
    "waiting for a lock": "lock = threading.Lock(); lock.acquire(); lock.acquire()",
    "where all exceptions are swallowed": "swallow()",
    "in a destructor": "Dying()",
    "in a fork": "fork()",
    "with steps that were saved": "interruption.unsaved(); interruption.saved(7); time.sleep(60)",
}
PROGRAM = """
import hashlib, os, signal, sys, threading, time
from train.run import interruption
def compute(*_):
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)
def swallow():
    while True:
        try:
            time.sleep(0.01)
        except BaseException:
            pass
class Dying:
    def __del__(self):
        time.sleep(60)
def fork():
    child = os.fork()
    if child:
        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    interruption.install()
    print(os.getpid(), flush=True)
    time.sleep(60)
interruption.install()
print(os.getpid(), flush=True)
STATE
print("went on", flush=True)
"""


@contextmanager
def process(state: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process in a state, and the number of the one that is in it."""
    code = PROGRAM.replace("STATE", state)
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            assert running.stdout is not None
            number = int(running.stdout.readline())
            if state == "fork()":
                number = int(running.stdout.readline())
            time.sleep(0.3)
            yield running, number
        finally:
            running.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("state", STATES)
def test_a_signal_ends_a_process_at_once(state, number):
    with process(STATES[state]) as (running, target):
        os.kill(target, number)
        out, err = running.communicate(timeout=5)
    assert running.returncode == 128 + number
    line = "stopped after step 7; the same command goes on from there"
    assert out == (f"{line}\n" if "saved" in state else "stopped\n")
    assert err == ""


WAITS = """
interruption.unsaved()
while interruption.asked() is None:
    time.sleep(0.01)
print("asked", interruption.asked(), flush=True)
time.sleep(60)
"""


def test_a_signal_waits_for_unsaved_steps_and_a_second_one_does_not():
    with process(WAITS) as (running, target):
        os.kill(target, signal.SIGTERM)
        assert running.stdout.readline() == "asked 15\n"
        os.kill(target, signal.SIGINT)
        out, err = running.communicate(timeout=5)
    assert (running.returncode, out, err) == (130, "stopped\n", "")


@pytest.mark.parametrize(
    "state",
    [
        "interruption.over(); time.sleep(1)",
        "interruption.unsaved(); time.sleep(1)",
        "interruption.over(); signal.set_wakeup_fd(-1); time.sleep(1)",  # as the interpreter ends
    ],
    ids=["finished", "unsaved", "ending"],
)
def test_work_goes_on(state):
    with process(state) as (running, target):
        os.kill(target, signal.SIGTERM)
        out, err = running.communicate(timeout=5)
    assert (running.returncode, out, err) == (0, "went on\n", "")


def test_signals_can_be_taken_back():
    """From a library that has set a handler in C, which Python does not know of."""
    steal = "ctypes.CDLL(None).signal(15, ctypes.c_void_p(1))"
    state = f"import ctypes; {steal}; interruption.renew(); time.sleep(60)"
    with process(state) as (running, target):
        os.kill(target, signal.SIGTERM)
        out, _ = running.communicate(timeout=5)
    assert (running.returncode, out) == (128 + signal.SIGTERM, "stopped\n")


def test_what_the_parent_ignores_stays_ignored():
    lines = [
        "import os, signal, time",
        "from train import interruption",
        "signal.signal(signal.SIGINT, signal.SIG_IGN)",
        "interruption.install()",
        "os.kill(os.getpid(), signal.SIGINT)",
        "time.sleep(0.5)",
        "print('alive')",
    ]
    done = helpers.python("-c", "\n".join(lines))
    assert (done.returncode, done.stdout) == (0, "alive\n")


def test_a_terminal_that_nobody_reads_delays_the_end_by_seconds_only():
    fill = "threading.Thread(target=os.write, args=(1, bytes(10**6)), daemon=True).start()"
    with process(f"{fill}; time.sleep(60)") as (running, target):
        start = time.monotonic()
        os.kill(target, signal.SIGTERM)
        assert running.wait(timeout=8) == 128 + signal.SIGTERM
    assert time.monotonic() - start < interruption.PATIENCE + 2


def test_the_last_line_says_where_a_run_goes_on():
    assert interruption.farewell(30, 20).endswith("goes on from step 20")
    assert interruption.farewell(30, 0).endswith("starts from the beginning")


def test_a_command_can_be_interrupted_while_it_imports_tensorflow():
    """Python has begun, the package is known, TensorFlow is not there yet."""
    with subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "train", "--workdir=/nonexistent"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if "train.run.interruption" in line:
                break
        time.sleep(0.2)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=5)
    assert (running.returncode, out) == (130, "stopped\n")
    assert "Traceback" not in err
    assert "keras_resnet.models" not in err
