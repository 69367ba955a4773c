"""Keeps the notes of TensorFlow's C++ libraries off stderr; errors and crashes pass.

TF_CPP_MIN_LOG_LEVEL hides most notes. Those that come before `absl::InitializeLog` heed no
variable, so file descriptor 2 goes through a filter, which is a process of its own: what a crash
writes last passes, where a thread would die with its process. `sys.stderr` does not go through the
filter: what Python writes is there before the process ends.

Standard library only, and no other module of this package: the file also runs as the filter.
"""

import os
import re
import signal
import sys

__all__ = ["hide", "kept"]

LEVEL = "TF_CPP_MIN_LOG_LEVEL"
# A note or a warning of absl in C++, of which Python's have another date; and lines without a
# prefix. On a machine without NVIDIA's devices, cuInit cannot but fail.
NOTES = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog\(\) is called are written to STDERR"
    rb"|[IW]0000 00:00:\d+\.\d+ +\d+ \w+\.cc:\d+\] "
    rb"|To enable the following instructions: [A-Z0-9_ ]+, in other operations, rebuild TensorFlow"
    rb"|INFO: Created TensorFlow Lite XNNPACK delegate for CPU\."
)
WITHOUT_GPU = re.compile(rb"E0000 00:00:\d+\.\d+ +\d+ cuda_\w+\.cc:\d+\] failed call to cuInit: ")
GPU = "/dev/nvidia0"


def hide() -> None:
    """Hides notes from now on, unless --verbose or TF_CPP_MIN_LOG_LEVEL=0 or 1 asks for them.

    Has to be called before TensorFlow is imported. Where no filter can be started, notes are shown.
    """
    verbose = any(word.lstrip("-").split("=")[0] == "verbose" for word in sys.argv[1:])
    level = os.environ.setdefault(LEVEL, "0" if verbose else "2")
    if verbose or level in ("0", "1") or not sys.executable:
        return
    try:
        own = os.dup(2)
    except OSError:  # stderr is closed
        return
    reading, writing = os.pipe()
    try:
        os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", __file__],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, reading, 0),
                (os.POSIX_SPAWN_DUP2, own, 1),
                (os.POSIX_SPAWN_DUP2, own, 2),
            ],
            setpgroup=0,  # Ctrl-C is for the command, whose last words have to pass
        )
    except (OSError, NotImplementedError):
        os.close(writing)
    else:
        os.dup2(writing, 2)
        os.close(writing)
        encoding = getattr(sys.stderr, "encoding", None)
        sys.stderr = open(own, "w", 1, encoding, "backslashreplace")  # noqa: PTH123, SIM115
    os.close(reading)


def kept(line: bytes, *, gpu: bool) -> bool:
    """Whether a line of stderr is shown.

    Args:
        line: with its end.
        gpu: whether the machine has a device of NVIDIA, so that a failure of its driver is news.
    """
    return not NOTES.match(line) and (gpu or not WITHOUT_GPU.match(line))


def _pass_on() -> None:
    """Is the filter: ends when the command and all of its children have."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    gpu = os.path.exists(GPU)  # noqa: PTH110 - pathlib would double the time to start
    for line in sys.stdin.buffer:
        if kept(line, gpu=gpu):
            os.write(1, line)


if __name__ == "__main__":
    _pass_on()
