"""When, where and from which code a run was started, each time: `starts.jsonl`.

Metrics and weights do not say it, and a published network has to.
"""

import json
import os
import platform
import re
import subprocess
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import tensorflow as tf

from train.run import devices, files

CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Start:
    """One start of a run.

    Attributes:
        after_step: number of steps that were already taken.
        date: of the start, in UTC, such as "2026-12-01".
        commit: of the code, in full; "" if it is unknown.
        changed: whether tracked files differed from the commit.
        precision: of the activations.
        hardware: number and name of the GPUs, or of the processor's threads.
    """

    after_step: int
    date: str
    commit: str
    changed: bool
    precision: str
    hardware: str


def note(workdir: Path, after_step: int, precision: str, strategy: tf.distribute.Strategy) -> None:
    """Adds a row for a start; rows of steps that will be taken again are dropped.

    Raises:
        OSError: if there is no room.
    """
    commit, changed = _code(CHECKOUT)
    date = datetime.now(UTC).date().isoformat()
    start = Start(after_step, date, commit, changed, precision, hardware(strategy))
    kept = [row for row in read(workdir) if row.after_step < after_step]
    lines = [json.dumps(asdict(row)) + "\n" for row in [*kept, start]]
    files.write(workdir / files.STARTS, "".join(lines))


def read(workdir: Path) -> list[Start]:
    """Returns the starts of a run in order; none for runs of earlier versions.

    Raises:
        ValueError: if the file is damaged.
    """
    path = workdir / files.STARTS
    try:
        return [Start(**row) for row in files.lines(path)]
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} does not list the starts of a run: {error}") from error


def _code(checkout: Path) -> tuple[str, bool]:
    """Returns the commit of a checkout, and whether tracked files differ from it; "" if unknown."""
    commit = _git(checkout, "rev-parse", "HEAD")
    status = _git(checkout, "status", "--porcelain", "--untracked-files=no")
    if not commit or status is None:
        return "", False
    return commit, bool(status)


def _git(checkout: Path, *words: str) -> str | None:
    """Returns what git prints; None without git, or outside of a repository."""
    command = ["git", "-C", str(checkout), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def hardware(strategy: tf.distribute.Strategy) -> str:
    """Returns number and name of the devices that a run trains on, such as "2 x NVIDIA A100"."""
    if not devices.gpus():
        return f"{_threads()} x {_processor()}"
    device = tf.config.list_physical_devices("GPU")[0]
    name = tf.config.experimental.get_device_details(device).get("device_name", "GPU")
    return f"{strategy.num_replicas_in_sync} x {name}"


def _threads() -> int:
    """Returns the number of hardware threads that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    """Returns the name of the processor, or its kind where Linux does not name it."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    named = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return named[1] if named else platform.machine()
