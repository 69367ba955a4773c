"""Twenty SIGINTs and twenty SIGTERMs, at random moments of a whole run; minutes."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.support import helpers

pytestmark = pytest.mark.slow
COMMAND = [
    sys.executable,
    "-m",
    "train",
    "--recipe=digits_resnet20",
    "--network=resnet8",
    "--steps=600",
    "--eval_every=50",
    "--save_every=80",
    "--deterministic",
]
LINE = re.compile(
    r"stopped(| before a step was saved; the same command starts from the beginning"
    r"| after step (\d+); the same command goes on from there)"
)


def run(workdir: Path, number: int = 0, moment: float = 0.0) -> tuple[int, str, str, float]:
    """Returns exit code, output, errors, and the seconds of the run, or after the signal."""
    with subprocess.Popen(
        [*COMMAND, f"--workdir={workdir}"],
        cwd=helpers.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        since = time.monotonic()
        try:
            out, err = process.communicate(timeout=moment or 300)
            after = 0.0 if moment else time.monotonic() - since
        except subprocess.TimeoutExpired:
            since = time.monotonic()
            process.send_signal(number)
            out, err = process.communicate(timeout=30)
            after = time.monotonic() - since
    return process.returncode, out, err, after


def test_forty_signals(tmp_path):
    random = np.random.default_rng(0)
    code, whole, _, seconds = run(tmp_path / "whole")
    assert code == 0
    stopped = 0
    for i in range(40):
        number = (signal.SIGINT, signal.SIGTERM)[i % 2]
        workdir = tmp_path / f"{i}"
        code, out, err, after = run(workdir, number, random.uniform(1, seconds))
        assert "Traceback" not in out + err
        assert after < 10
        if code == 0:  # it was over before, or told of its result
            assert json.loads(out.splitlines()[-1]) == json.loads(whole.splitlines()[-1])
            continue
        stopped += 1
        assert code == 128 + number, (out, err)
        told = LINE.fullmatch(out.splitlines()[-1])
        assert told is not None, out
        assert out.count("stopped") == 1
        saved = sorted(workdir.glob("checkpoints/*.npz"))
        if told[2]:
            assert saved[-1].name == f"step_{int(told[2]):08d}.npz"
        code, out, err, _ = run(workdir) if i % 10 == 0 else (0, whole, "", 0.0)
        assert code == 0, err
        assert out.splitlines()[-1] == whole.splitlines()[-1]
    assert stopped >= 30
