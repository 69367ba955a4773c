"""Modules that run in forks of one process, which has imported TensorFlow once and for all.

The import costs five seconds of a core, and the end of the interpreter another one; a fork costs
neither. `python -m tests.support.forks` is that process: each line that it reads is one run, and
it answers with the exit code. Nothing of TensorFlow has run before the fork, so that a run may
split devices and choose strategies as a fresh process would. Environment variables that are read
at an import, such as KERAS_BACKEND, come too late here: such tests take `helpers.python`.
"""

import atexit
import importlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
import threading
import traceback
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
STREAMS = ("out", "err")
IMPORTED = ("sklearn.datasets", "keras_resnet.export.tflite", "train.loop")


class Forks:
    """The process of one session of tests, which ends with it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.forks"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        atexit.register(self._process.communicate)

    def run(self, command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs a module with arguments; returns what `subprocess.run` does."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with tempfile.TemporaryDirectory() as folder, self._lock:
            asked = {"command": command, "environment": environment, "folder": folder}
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
            code = int(self._process.stdout.readline())
            out, err = (Path(folder, name).read_text() for name in STREAMS)
        return subprocess.CompletedProcess(command, code, out, err)


@cache
def session() -> Forks:
    return Forks()


def serve() -> None:
    """Answers until nobody asks any more."""
    for name in IMPORTED:
        importlib.import_module(name)
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if not child:
            _run(asked)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(code, flush=True)


def _run(asked: dict[str, Any]) -> None:
    """Is the module, from its first line to the exit code; never returns."""
    for number, name in enumerate(STREAMS, 1):
        file = os.open(f"{asked['folder']}/{name}", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.dup2(file, number)
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
