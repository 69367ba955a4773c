"""Modules that run in forks of one process, which has imported TensorFlow once and for all.

The import costs five seconds of a core, and the end of the interpreter another one; a fork costs
neither. `python -m tests.support.forks` is that process: each line that it reads starts a run,
and a file tells how the run ended. Nothing of TensorFlow has run before a fork, so that a run may
split devices and choose strategies as a fresh process would. Environment variables that are read
at an import, such as KERAS_BACKEND, come too late here: such tests take `helpers.python`.
"""

import atexit
import importlib
import json
import os
import runpy
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
IMPORTED = ("sklearn.datasets", "keras_resnet.export.tflite", "train.loop")
PATIENCE = 0.02  # seconds between two looks


class Run:
    """A module that runs, with the part of `subprocess.Popen` that tests need."""

    def __init__(self, command: list[str], **environment: str) -> None:
        self._command = command
        self._folder = tempfile.mkdtemp(dir=_place_of_runs())
        os.mkfifo(self._place("out"))
        asked = {"command": command, "environment": environment, "folder": self._folder}
        server = _server()
        assert server.stdin is not None
        server.stdin.write(json.dumps(asked) + "\n")
        server.stdin.flush()
        self.pid = int(self._told("pid"))
        self.stdout = self._place("out").open()

    def _place(self, name: str) -> Path:
        return Path(self._folder, name)

    def _told(self, name: str, timeout: float = float("inf")) -> str:
        """Waits for a file of the process that forks."""
        end = time.monotonic() + timeout
        while not self._place(name).exists():
            if _server().poll() is not None:
                raise RuntimeError("the process that forks has ended")
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(self._command, timeout)
            time.sleep(PATIENCE)
        return self._place(name).read_text()

    def send_signal(self, number: int) -> None:
        if not self._place("code").exists():
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float = float("inf")) -> int:
        return int(self._told("code", timeout))

    def communicate(self, timeout: float = float("inf")) -> tuple[str, str]:
        """Returns all that is left of the output, and all errors."""
        with self.stdout:
            out = self.stdout.read()
        self.wait(timeout)
        return out, self._place("err").read_text()


@cache
def _place_of_runs() -> Path:
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder)
    return Path(folder)


@cache
def _server() -> subprocess.Popen[str]:
    """The process of one session of tests, which ends with it."""
    command = [sys.executable, "-m", "tests.support.forks"]
    server = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, text=True)
    atexit.register(server.communicate)
    return server


def serve() -> None:
    """Forks for each line, and tells of each fork that ends, until nobody asks any more."""
    for name in IMPORTED:
        importlib.import_module(name)
    folders: dict[int, str] = {}
    while True:
        ready, _, _ = select.select([0], [], [], PATIENCE if folders else None)
        if ready:
            line = _line()
            if not line:
                return
            asked = json.loads(line)
            child = os.fork()
            if not child:
                _run(asked)
            folders[child] = asked["folder"]
            _tell(asked["folder"], "pid", child)
        for child in list(folders):
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                _tell(folders.pop(child), "code", os.waitstatus_to_exitcode(status))


def _line() -> bytes:
    """Reads one line and not a byte more, since the next one has to wake `select`."""
    line = bytearray()
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return b""
        line += byte
    return bytes(line)


def _tell(folder: str, name: str, number: int) -> None:
    """Writes a file that is whole as soon as it has its name."""
    partial = Path(folder, f"{name}.partial")
    partial.write_text(str(number))
    partial.rename(partial.with_suffix(""))


def _run(asked: dict[str, Any]) -> None:
    """Is the module, from its first line to the exit code; never returns."""
    for number, name in enumerate(("out", "err"), 1):
        file = os.open(f"{asked['folder']}/{name}", os.O_CREAT | os.O_WRONLY)
        os.dup2(file, number)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - a file for good
    sys.stderr = open(2, "w", errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.update(asked["environment"])
    module, *arguments = asked["command"]
    sys.argv = [module, *arguments]
    sys.modules.pop(module, None)  # or runpy would warn of it
    code: Any = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    if isinstance(code, str):
        print(code, file=sys.stderr)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


if __name__ == "__main__":
    serve()
