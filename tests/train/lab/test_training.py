"""Runs of an experiment are trained one after another, stop together, and resume."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import helpers
from tests.support.forked import Forked
from train.lab import planned as planning, processes, runs, training
from train.lab.experiment import TEST, TRAIN, Run
from train.lab.planned import Place, Planned, Schedule
from train.recipes import length
from train.run import interruption, starts

SMALL = {"dataset": "digits", "batch_size": 64, "image_size": 8}
TINY = {"fields": {"repeats": [1, 1, 1]}}
RUNS = (
    Run("first", "cifar10_resnet20", TINY),
    Run("second", "cifar10_resnet20", {"fields": {"repeats": [1, 1, 1], "shortcut": "C"}}),
)


def planned(steps: int, workdir: Path) -> list[Planned]:
    return planning.planned(RUNS, [1], Schedule(steps, SMALL), workdir)


def wait_for(folder: Path, pattern: str, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not list(folder.glob(pattern)):
        assert time.monotonic() < end, pattern
        time.sleep(0.05)


def test_runs_stop_at_a_signal_and_resume_by_the_same_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(processes, "PATIENCE", 0.02)
    monkeypatch.setattr(length, "EVALUATIONS", 2)
    monkeypatch.setattr(processes, "Popen", Forked)
    place = Place(tmp_path)
    every = planned(80, tmp_path)

    def stopped() -> int | None:
        reached = runs.last_step(every[0].workdir)
        return signal.SIGTERM if reached >= 3 else None

    monkeypatch.setattr(interruption, "asked", stopped)
    monkeypatch.setattr(interruption, "unsaved", lambda: None)
    with pytest.raises(SystemExit) as end:
        training.train(every, place, 1)
    assert end.value.code == 128 + signal.SIGTERM
    begun = runs.state(every[0])
    assert 3 <= begun.step < 80
    assert not begun.finished
    assert not every[1].workdir.exists()
    said = (every[0].workdir / runs.OUTPUT).read_text()
    assert "the same command goes on from there" in said

    monkeypatch.setattr(interruption, "asked", lambda: None)
    training.train(every, place, 2)
    assert [runs.state(one).finished for one in every] == [True, True]
    told = capsys.readouterr().out
    assert f"first, seed 1: resumes, {begun.text}" in told
    assert "second, seed 1: starts" in told
    assert f"resumes from step {begun.step} of 80" in (every[0].workdir / runs.OUTPUT).read_text()
    assert [one.after_step for one in starts.read(every[0].workdir)] == [0, begun.step]
    for one in every:
        assert json.loads((one.workdir / "recipe.json").read_text()) == json.loads(
            one.recipe.to_json()
        )
        result = json.loads((one.workdir / "result.json").read_text())
        assert runs.value(one, TEST) == pytest.approx(100 - result["top1"])
        assert f"{one.run.name}, seed 1: finished, test error {100 - result['top1']:.2f} %" in told
        assert 0 <= (runs.value(one, TRAIN) or 0) <= 100


def test_a_run_that_fails_does_not_stop_others(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(processes, "Popen", Forked)
    every = planned(4, tmp_path)
    training.train(every, Place(tmp_path, None, ("--replicas=2",)), 1)
    told = capsys.readouterr().out
    for one in every:
        assert f"{one.run.name}, seed 1: failed with exit code 1" in told
        assert "error: replicas=2 needs strategy=mirrored" in told
    assert not any(runs.state(one).finished for one in every)


def test_the_last_line_of_a_command(tmp_path):
    output = tmp_path / "output"
    output.write_text("")
    assert processes.last_line(output) == "it printed nothing"
    output.write_text("a\nb\n")
    assert processes.last_line(output) == "b"


@pytest.mark.slow
def test_the_command_stops_its_runs_and_goes_on(tmp_path):
    """As a user does: Ctrl-C reaches the command alone, and comes to the run by it."""
    words = ["--change=dataset=digits", "--change=batch_size=8", "--change=image_size=8"]
    words += ["--steps=60", "--only=ResNet-20,plain-20", f"--workdir={tmp_path}/runs"]
    command = [sys.executable, "-m", "train.lab", "degradation", *words, f"--out={tmp_path}"]
    first = subprocess.Popen(command, cwd=helpers.ROOT, stdout=subprocess.PIPE, text=True)
    wait_for(tmp_path / "runs", "*/checkpoints/*.npz")
    first.send_signal(signal.SIGINT)
    out, _ = first.communicate(timeout=60)
    assert first.returncode == 130, out
    assert "stopped; the same command goes on from there" in out
    assert not list(tmp_path.glob("*.json"))
    done = helpers.python(*command[1:])
    assert done.returncode == os.EX_OK, done.stderr
    assert "plain-20, seed 1: resumes, step" in done.stdout
    (path,) = tmp_path.glob("*.json")
    summary = json.loads(path.read_text())
    assert sum(one["finished"] for one in summary["runs"]) == 2
    assert path.with_suffix(".png").stat().st_size > 5000
    again = helpers.python(*command[1:])
    assert again.returncode == os.EX_OK
    assert "starts" not in again.stdout
    assert "resumes" not in again.stdout
