"""Commands in processes of their own, which end before this process does."""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import STDOUT, Popen
from typing import IO

from keras_resnet import console
from train.lab import runs
from train.lab.planned import python
from train.run import interruption

PATIENCE = 0.2  # seconds between two looks at processes


@dataclass(frozen=True, eq=False)  # equal only to itself
class Process:
    """A command that runs.

    Attributes:
        name: for people.
        output: file to which it prints.
        process: of the system.
        file: the same as `output`, opened.
    """

    name: str
    output: Path
    process: Popen[bytes]
    file: IO[bytes]

    @property
    def code(self) -> int | None:
        """The exit code; None while the process runs."""
        return self.process.poll()

    def wait(self) -> None:
        """Waits until the process has ended."""
        self.process.wait()
        self.file.close()


def start(name: str, arguments: list[str], output: Path) -> Process:
    """Starts a Python in the root of the checkout; what it prints is added to a file.

    From then on SIGTERM and SIGINT wait until `ended` has stopped the processes.

    Raises:
        OSError: if it cannot be started.
    """
    interruption.unsaved()
    file = output.open("ab")
    process = Popen(
        python(arguments),
        cwd=runs.ROOT,
        stdout=file,
        stderr=STDOUT,
        start_new_session=True,  # Ctrl-C reaches only this process, which then stops the others
    )
    return Process(name, output, process, file)


def ended(going: list[Process]) -> Iterator[Process]:
    """Waits until some processes have ended; removes them from the list and yields them.

    A signal stops all of them, and then this process.
    """
    while all(one.code is None for one in going):
        time.sleep(PATIENCE)
        if number := interruption.asked():
            stop(going)
            console.say("stopped; the same command goes on from there")
            sys.exit(128 + number)
    for one in [one for one in going if one.code is not None]:
        going.remove(one)
        one.wait()
        yield one


def stop(going: list[Process]) -> None:
    """Stops processes at the same time, and waits until they have saved their state.

    Each is signalled once: a second signal would end it before it has saved.
    """
    for one in going:
        one.process.terminate()
    for one in going:
        one.wait()
    going.clear()


def last_line(output: Path) -> str:
    """Returns the last line that a command has printed."""
    lines = output.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[-1] if lines else "it printed nothing"
