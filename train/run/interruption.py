"""Ctrl-C and SIGTERM: one line and an exit code, from the first moment of a command to its last.

Python runs a signal handler in the main thread, between two bytecodes. While TensorFlow computes a
mean image or compiles a step, which takes minutes, no handler runs; and an exception that a handler
raises inside a callback or a destructor is lost. Here a separate thread reads signals from a pipe,
into which the interpreter writes their numbers as they arrive. The thread ends the process at once,
unless there are steps that only the training loop can save.

Standard library only: a command is interruptible before TensorFlow is imported.
"""

import os
import signal
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

NUMBERS = (signal.SIGINT, signal.SIGTERM)
PATIENCE = 2.0  # seconds for the last line, in case that nobody reads the output


@dataclass
class _State:
    process: int = 0  # where `install` was called; threads do not survive a fork
    unsaved: bool = False
    asked: int | None = None
    over: bool = False
    line: str = "stopped"


_state = _State()


def install() -> None:
    """Makes signals end this process cleanly; repeated calls change nothing.

    A signal that the parent process has set to be ignored, as `nohup` and shells in the background
    do, stays ignored.
    """
    if _state.process == os.getpid():
        return
    vars(_state).update(vars(_State(os.getpid())))
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    _handle()
    threading.Thread(target=_watch, args=(reading,), name="signals", daemon=True).start()


def renew() -> None:
    """Takes the signals back from TensorFlow: strategies of several workers handle SIGTERM."""
    if _state.process == os.getpid():
        _handle()


def _handle() -> None:
    for number in NUMBERS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _nothing)  # a number is written only where there is a handler


def asked() -> int | None:
    """Returns the signal that came while steps were unsaved; None if none did."""
    return _state.asked


def unsaved() -> None:
    """From now on the first signal waits for `saved`; a second one ends the process at once."""
    _state.unsaved = True


def saved(step: int) -> None:
    """From now on a signal ends the process at once: all steps up to `step` are saved."""
    _state.line = farewell(step, step)
    _state.unsaved = False


def says(line: str) -> None:
    """From now on this is the last line of a process that a signal ends at once."""
    _state.line = line


def farewell(step: int, saved: int) -> str:
    """Returns the last line of a run that was stopped after a step, or before the first."""
    if not saved:
        return "stopped before a step was saved; the same command starts from the beginning"
    place = "there" if saved == step else f"step {saved}"
    return f"stopped after step {step}; the same command goes on from {place}"


def over() -> None:
    """From now on signals are ignored: the work is done, and the process is about to end.

    That holds during the interpreter's shutdown, too, which resets handlers but not SIG_IGN.
    """
    _state.over = True
    if _state.process == os.getpid():
        for number in NUMBERS:
            signal.signal(number, signal.SIG_IGN)


def leave(code: int) -> NoReturn:
    """Ends the process without the seconds that TensorFlow takes to shut down."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _nothing(_number: int, _frame: object) -> None:
    pass


def _watch(pipe: int) -> None:
    while number := os.read(pipe, 1):
        if number[0] in NUMBERS and not _state.over:
            _receive(number[0])


def _receive(number: int) -> None:
    if _state.unsaved and _state.asked is None:
        _state.asked = number
        return
    code = 128 + number
    patience = threading.Timer(PATIENCE, os._exit, [code])
    patience.daemon = True
    patience.start()
    with suppress(OSError):
        erased = "\r\x1b[K" if os.isatty(1) else ""  # of a bar, in whose row the cursor is
        os.write(1, f"{erased}{_state.line}\n".encode())
    os._exit(code)
