"""Lives of a training that end at chosen moments: `python -m tests.support.crashing FILE.json`.

TensorFlow is imported once; each life is a fork that runs `python -m train` and is killed as its
aim says. What it left behind is told afterwards.
"""

import importlib
import json
import os
import re
import runpy
import signal
import sys
import threading
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Aim:
    """A moment: so many seconds after an event has come so often, or after the start.

    Args:
        event: one of Python's audit events, "evaluation" or "publish"; or "start".
        path: an expression that the path of the event has to match.
        count: how often.
        delay: 0 for at once, so that a file is not yet opened, or a name not yet given.
        number: of the signal.
    """

    event: str
    path: str = ""
    count: int = 1
    delay: float = 0.0
    number: int = signal.SIGKILL


@dataclass(frozen=True)
class Life:
    """A command line's arguments, its workdir among them, and how it ends; None for by itself."""

    workdir: str
    arguments: tuple[str, ...]
    aim: Aim | None = None


def arm(aim: Aim) -> None:
    """Has this process shoot itself; nothing of it outlives a SIGKILL, whoever sends it."""
    seen = 0

    def shoot() -> None:
        if aim.delay:
            timer = threading.Timer(aim.delay, os.kill, (os.getpid(), aim.number))
            timer.daemon = True
            timer.start()
        else:
            os.kill(os.getpid(), aim.number)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event == aim.event and re.search(aim.path, str(arguments[0])):
            seen += 1
            if seen == aim.count:
                shoot()

    sys.addaudithook(hook)
    sys.audit("start", "")


def announce() -> None:
    """Has evaluations and published weights say that they begin, as opened files do themselves."""
    from train import loop
    from train.run import publishing

    evaluate, save = loop.evaluate, publishing.weights.save

    def evaluating(*arguments: Any) -> Any:
        sys.audit("evaluation", "")
        return evaluate(*arguments)

    def saving(*arguments: Any) -> Any:
        sys.audit("publish", arguments[1])
        return save(*arguments)

    loop.evaluate, publishing.weights.save = evaluating, saving


def run(life: Life) -> int:
    """Returns the exit code; negative for a signal. A finished run is put before its last file."""
    Path(life.workdir, "result.json").unlink(missing_ok=True)
    child = os.fork()
    if not child:
        log = os.open(f"{life.workdir}.log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.argv, code = ["train", *life.arguments, f"--workdir={life.workdir}"], 0
        announce()
        if life.aim:
            arm(life.aim)
        try:
            runpy.run_module("train", run_name="__main__", alter_sys=True)
        except SystemExit as end:
            print(end)
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            traceback.print_exc()
            code = 70
        sys.stdout.flush()
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def left(workdir: Path) -> dict[str, Any]:
    """Says what a dead run left: half files, checkpoints, how far its metrics go."""
    files = sorted(str(p.relative_to(workdir)) for p in workdir.rglob("*") if p.is_file())
    metrics = workdir / "metrics.jsonl"
    lines = metrics.read_text().split("\n") if metrics.exists() else [""]
    steps = [file for file in files if file.endswith(".npz")]
    return {
        "partial": [file for file in files if "partial" in file],
        "saved": [int(file[-12:-4]) for file in steps],
        "last": json.loads(lines[-2]) if len(lines) > 1 else {"step": 0, "split": ""},
        "cut": lines[-1] != "",
    }


def main(plan: Path) -> None:
    """Follows a plan until so many shots were deadly, and then only those lives without one."""
    for module in (
        "train.loop",
        "train.run.workdirs",
        "sklearn.datasets",
        "sklearn.model_selection",
    ):
        importlib.import_module(module)
    read = json.loads(plan.read_text())
    lives = [Life(w, tuple(a), Aim(**aim) if aim else None) for w, a, aim in read["lives"]]
    told: list[dict[str, Any]] = []
    for life in lives:
        if life.aim and sum(deadly(one["code"]) for one in told) == read["shots"]:
            continue
        aim, code = life.aim and asdict(life.aim), run(life)
        told.append({"aim": aim, "code": code, **left(Path(life.workdir))})
    plan.with_suffix(".out").write_text(json.dumps(told))


def deadly(code: int) -> bool:
    """Whether a run ended by a signal, or because of one."""
    return code < 0 or code > 128


if __name__ == "__main__":
    main(Path(sys.argv[1]))
