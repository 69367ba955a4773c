"""Several workers, as processes of this machine: one training, and a clean end if one is lost."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import helpers
from tests.support.forks import Run

STEPS = 60
COMMAND = [
    "train",
    helpers.TINY,
    f"--steps={STEPS}",
    "--batch_size=32",
    "--log_every=5",
    "--eval_every=30",
    "--save_every=20",
    "--validation=37",
    "--deterministic",
]
PORTS = iter(range(23_100, 23_900, 10))


def start(workdir: Path, count: int, *flags: str) -> list[Run]:
    """Starts workers with ports that no other test has."""
    port = next(PORTS)
    cluster = {"worker": [f"localhost:{port + i}" for i in range(count)]}
    command = [*COMMAND, *flags, f"--workdir={workdir}", "--strategy=multi_worker"]
    tasks = [{"type": "worker", "index": i} for i in range(count)]
    return [
        Run(command, TF_CONFIG=json.dumps({"cluster": cluster, "task": task})) for task in tasks
    ]


def finish(workers: list[Run], timeout: float = 240) -> list[tuple[int, str]]:
    """Returns the exit code and the output of each; kills those that take too long."""
    found = []
    try:
        for worker in workers:
            out, errors = worker.communicate(timeout=timeout)
            print(errors[-2000:])
            found.append((worker.wait(), out))
    finally:
        for worker in workers:
            worker.kill()
    return found


def follow(worker: Run, step: int) -> Iterator[str]:
    """Reads what a worker prints until it has taken a step."""
    for line in worker.stdout:
        yield line
        if line.startswith(f"step {step}/"):
            return
    raise AssertionError(f"the worker ended before step {step}")


def arrays(workdir: Path, name: str = f"checkpoints/step_{STEPS:08d}.npz") -> dict[str, Any]:
    with np.load(workdir / name) as archive:
        return dict(archive.items())


def losses(workdir: Path) -> list[tuple[int, float]]:
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["loss"]) for line in lines if line["split"] == "train"]


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> tuple[Path, list[tuple[int, str]]]:
    """A run of two workers that nothing interrupted."""
    workdir = tmp_path_factory.mktemp("two")
    return workdir, finish(start(workdir, 2))


def test_worker_0_alone_writes_and_speaks(two):
    workdir, found = two
    assert [code for code, _ in found] == [0, 0]
    assert found[1][1] == ""
    assert "2 replica(s) (CPU) of 2 worker(s)" in found[0][1]
    assert json.loads(found[0][1].splitlines()[-1])["examples"] == 360
    assert {p.name for p in workdir.glob("final.*")} == {"final.weights.h5", "final.keras"}


def test_two_workers_are_two_replicas(two, tmp_path):
    """The same images in the same rows, the same sums, the same averages of the statistics."""
    flags = ["--strategy=mirrored", "--replicas=2", f"--workdir={tmp_path}"]
    done = helpers.module(*COMMAND, *flags)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(losses(tmp_path)[:4], losses(two[0])[:4], rtol=1e-5)
    expected = json.loads(done.stdout.splitlines()[-1])
    found = two[1][0][1].splitlines()[-1]
    assert json.loads(found)["top1"] == pytest.approx(expected["top1"], abs=3)


@pytest.mark.slow
def test_two_workers_read_records_as_one_does(tmp_path):
    """They make the index of the files together; images of many sizes are never in memory."""
    name = helpers.tfds_set(tmp_path, {"train": 48, "test": 9}, (None, None, 3))
    flags = [f"--dataset={name}", f"--data_dir={tmp_path}", "--steps=6", "--log_every=1"]
    flags += ["--augmentation=random_resized_crop", "--image_size=8", "--validation=7"]
    found = finish(start(tmp_path / "two", 2, *flags))
    assert [code for code, _ in found] == [0, 0]
    alone = ["--strategy=mirrored", "--replicas=2", f"--workdir={tmp_path / 'one'}"]
    done = helpers.module(*COMMAND, *flags, *alone)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(losses(tmp_path / "two"), losses(tmp_path / "one"), rtol=1e-4)


@pytest.mark.slow
def test_four_workers_are_four_replicas(tmp_path):
    short = ["--steps=20", "--learning_rate=0.01", "--sync_bn"]
    assert [code for code, _ in finish(start(tmp_path / "four", 4, *short))] == [0, 0, 0, 0]
    flags = ["--strategy=mirrored", "--replicas=4", f"--workdir={tmp_path / 'one'}"]
    assert helpers.module(*COMMAND, *short, *flags).returncode == 0
    last = "checkpoints/step_00000020.npz"
    found = arrays(tmp_path / "four", last)
    expected = arrays(tmp_path / "one", last)
    for name, array in expected.items():
        scale = max(float(np.abs(array).max()), 1e-3)
        np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-4 * scale, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_worker_ends_the_others_and_all_go_on_together(two, tmp_path, victim):
    workers = start(tmp_path, 2)
    list(follow(workers[0], 25))
    workers[victim].kill()
    since = time.monotonic()
    found = finish(workers, timeout=90)
    assert time.monotonic() - since < 90
    assert found[victim][0] == -signal.SIGKILL
    # Where the lost one led the cluster, TensorFlow itself may end the process.
    assert found[1 - victim][0] == os.EX_TEMPFAIL or (victim == 0 and found[1][0] != 0)
    again = finish(start(tmp_path, 2))
    assert [code for code, _ in again] == [0, 0]
    assert "step 5/" not in again[0][1]
    for name, array in arrays(two[0]).items():
        np.testing.assert_array_equal(arrays(tmp_path)[name], array, err_msg=name)


def test_a_signal_to_one_worker_stops_and_saves_all(two, tmp_path):
    """Preemption takes one machine at a time."""
    workers = start(tmp_path, 2)
    list(follow(workers[0], 25))
    workers[1].send_signal(signal.SIGTERM)
    assert [code for code, _ in finish(workers)] == [128 + signal.SIGTERM] * 2
    newest = max((tmp_path / "checkpoints").glob("*.npz"))
    assert newest.name >= "step_00000025.npz"  # the line comes before the end of a step
    assert [code for code, _ in finish(start(tmp_path, 2))] == [0, 0]
    assert [step for step, _ in losses(tmp_path)] == list(range(5, STEPS + 1, 5))
    # All but the line in which the run stopped, which is the mean of the steps after it.
    same = np.isclose(losses(tmp_path), losses(two[0]), rtol=1e-4).all(1)
    assert same.sum() >= len(same) - 1
