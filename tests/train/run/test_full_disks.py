"""A full disk costs what did not fit, and neither the run nor what was written before."""

import errno
import json
import resource
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import tensorflow as tf

from keras_resnet import console
from tests.support import helpers
from tests.support.full_disk import room
from train.log import journal
from train.log.journal import Journal, Pace
from train.run import workdirs
from train.tasks import classification

TASK = classification.task()
PACE = Pace(steps=3, batch_size=8, log_every=100)
METRICS = {name: tf.constant(0.0) for name in ("loss", "accuracy", "skipped")}
TRAIN = ["-m", "train", helpers.TINY, "--batch_size=32", "--log_every=1", "--save_every=20"]


def test_a_line_that_does_not_fit_leaves_no_part_of_it(tmp_path, capsys):
    lines = Journal(tmp_path, TASK, Pace(steps=9, batch_size=8, log_every=1), 0)
    lines.train(1, METRICS, 0.1)
    before = (tmp_path / "metrics.jsonl").read_bytes()
    with room(len(before) + 50):
        lines.train(2, METRICS, 0.1)
    assert (tmp_path / "metrics.jsonl").read_bytes() == before
    assert f"step 2: no metrics in {tmp_path}, [Errno 27] File too large" in capsys.readouterr().out
    lines.train(3, METRICS, 0.1)
    assert steps(tmp_path) == [1, 3]


def steps(workdir: Path) -> list[int]:
    """The steps of training that the metrics tell of, each line of which has to be readable."""
    entries = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [entry["step"] for entry in entries if entry["split"] == "train"]


def test_events_that_do_not_fit_stop_nothing(tmp_path, capsys, monkeypatch):
    lines = Journal(tmp_path, TASK, Pace(steps=9, batch_size=8, log_every=1), 0)
    monkeypatch.setattr(journal, "_append", lambda path, line: None)
    lines.train(1, METRICS, 0.1)
    with room(1):
        lines.train(2, METRICS, 0.1)
    out = capsys.readouterr().out
    assert "step 2: no metrics" in out
    assert "{{" not in out
    assert "step 2/9" in out


@pytest.mark.parametrize(
    "cut", [b'{"step": 2, "spl', b"5\n", b'"x"\n', b"\0\0\0\n", b"\xff\xfe\n", b"{}\n"]
)
def test_lines_that_are_none_are_dropped_by_the_next_run(tmp_path, cut):
    lines = [json.dumps({"step": step, "split": "train", "loss": 1.0}) + "\n" for step in (1, 2, 3)]
    (tmp_path / "metrics.jsonl").write_bytes(lines[0].encode() + cut + b"\n" + lines[1].encode())
    Journal(tmp_path, TASK, PACE, 2)
    assert (tmp_path / "metrics.jsonl").read_text() == lines[0] + lines[1]


def test_metrics_survive_a_resume_for_which_there_is_no_room(tmp_path):
    line = json.dumps({"step": 1, "split": "train"}) + "\n"
    (tmp_path / "metrics.jsonl").write_text(line)
    for size in (len(line), 5):  # too small for what TensorBoard reads, and for the metrics
        with room(size), pytest.raises(OSError, match="too large"):
            Journal(tmp_path, TASK, PACE, 2)
    assert (tmp_path / "metrics.jsonl").read_text() == line
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EPIPE])
def test_a_log_without_room_is_no_reason_to_stop_but_one_without_readers_is(monkeypatch, number):
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, "of the test")

    monkeypatch.setattr("builtins.print", fail)
    with pytest.raises(BrokenPipeError) if number == errno.EPIPE else nullcontext():
        console.say("hello")


def test_a_recipe_that_does_not_fit_leaves_the_one_before(tmp_path):
    (tmp_path / "recipe.json").write_text("before")
    with room(100), pytest.raises(ValueError, match="cannot write to workdir"):
        workdirs.claim(tmp_path, helpers.recipe(), 0)
    assert [p.name for p in tmp_path.iterdir()] == ["recipe.json"]
    assert (tmp_path / "recipe.json").read_text() == "before"


def test_a_network_is_not_begun_where_it_does_not_fit(tmp_path):
    with room(3 << 20):
        workdirs.reserve(tmp_path, 3_000_000)
        with pytest.raises(OSError, match="no room for the trained network"):
            workdirs.reserve(tmp_path, 4_000_000)
    assert not list(tmp_path.iterdir())


def until(process: subprocess.Popen[str], text: str) -> str:
    """Waits for a line of the output that has the text in it; returns that line."""
    assert process.stdout is not None
    return next(line for line in process.stdout if text in line)


def limited(size: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a training in which no file may grow beyond a size."""
    code = (
        "import resource, runpy, sys; sys.argv[0] = 'train'\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, resource.RLIM_INFINITY))\n"
        "runpy.run_module('train', run_name='__main__', alter_sys=True)"
    )
    return helpers.python("-c", code, *arguments)


@pytest.mark.slow
def test_a_run_goes_on_through_a_full_disk(tmp_path):
    """The disk is full for a while, then at the end; then there is room for all that is left."""
    with subprocess.Popen(
        [sys.executable, *TRAIN, "--steps=2000", f"--workdir={tmp_path}"],
        cwd=helpers.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        lost = fill_and_empty(process, tmp_path)
        until(process, f"step {lost + 25}/")
        process.send_signal(signal.SIGTERM)
        until(process, "stopped after step")
        assert process.wait() == 128 + signal.SIGTERM
    assert newest(tmp_path)[0] > checkpoint(tmp_path, lost)
    told = steps(tmp_path)
    assert told == sorted(set(told))
    assert told[:30] == list(range(1, 31))
    assert lost not in told
    assert lost + 24 in told
    end_on_a_full_disk(tmp_path, told[-1])


def fill_and_empty(process: subprocess.Popen[str], workdir: Path) -> int:
    """Takes the room away until a checkpoint is lost; returns its step."""
    until(process, "step 30/")
    full = len((workdir / "metrics.jsonl").read_bytes()) + 50
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (full, resource.RLIM_INFINITY))
    assert "File too large" in until(process, ": no metrics in")
    line = until(process, ": no checkpoint")
    lost = int(line.split()[1].rstrip(":"))
    assert f"the newest one is {checkpoint(workdir, lost - 20)}" in line
    assert not list(workdir.rglob("*partial*"))
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, unlimited)
    return lost


def end_on_a_full_disk(workdir: Path, last: int) -> None:
    arguments = [*TRAIN[2:], f"--steps={last + 30}", f"--workdir={workdir}"]
    before = newest(workdir)
    done = limited(300_000, *arguments)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: no room for the trained network")
    assert done.stdout.count("no checkpoint") >= 2  # at a multiple of 20, and at the end
    assert (newest(workdir), list(workdir.rglob("*partial*"))) == (before, [])
    done = helpers.module("train", *arguments)
    assert done.returncode == 0, done.stderr
    assert steps(workdir)[-30:] == list(range(last + 1, last + 31))
    assert {"final.weights.h5", "final.keras"} <= {p.name for p in workdir.iterdir()}


def checkpoint(workdir: Path, step: int) -> Path:
    return workdir / "checkpoints" / f"step_{step:08d}.npz"


def newest(workdir: Path) -> tuple[Path, bytes]:
    file = max((workdir / "checkpoints").iterdir())
    return file, file.read_bytes()
