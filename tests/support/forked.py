"""Processes of `python -m MODULE` that are forks, with the part of `Popen` that the lab uses."""

import signal
import threading
from typing import IO, Any

from tests.support import forks


class Forked:
    """Stands for `subprocess.Popen`; output and errors go to a file when the process ends."""

    def __init__(self, command: list[str], *, stdout: IO[bytes], **_: Any) -> None:
        assert command[1] == "-m"
        self._run = forks.Run(command[2:])
        self._file = stdout
        self._code: int | None = None
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def returncode(self) -> int | None:
        return self._code

    def _read(self) -> None:
        out, errors = self._run.communicate()
        self._file.write((errors + out).encode())
        self._file.flush()
        self._code = self._run.wait()

    def poll(self) -> int | None:
        return self._code

    def terminate(self) -> None:
        self._run.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        self._reader.join()
        return self._run.wait()
