"""The command lines `python -m train` and `python -m train.evaluate`, from outside."""

import json
import re
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

from keras_resnet import weights
from tests.support import forks, helpers
from train.recipes.recipe import Recipe

STEPS = 240
COMMAND = [
    "train",
    helpers.TINY,
    f"--steps={STEPS}",
    "--batch_size=32",
    "--log_every=5",
    "--eval_every=80",
    "--save_every=40",
    "--deterministic",
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A run that nothing interrupted."""
    workdir = tmp_path_factory.mktemp("whole")
    done = helpers.module(*COMMAND, f"--workdir={workdir}")
    assert done.returncode == 0, done.stderr
    return workdir, done


def metrics(workdir: Path) -> list[dict]:
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def last_line(done: subprocess.CompletedProcess[str]) -> dict:
    return json.loads(done.stdout.splitlines()[-1])


def test_a_run_writes_its_files(whole):
    workdir, _ = whole
    files = {str(p.relative_to(workdir)) for p in workdir.rglob("*") if p.is_file()}
    checkpoints = {f"checkpoints/step_{step:08d}.npz" for step in (160, 200, 240)}
    events = {name for name in files if name.startswith("tensorboard/events.out.tfevents")}
    assert len(events) == 1
    finals = {"recipe.json", "metrics.jsonl", "final.weights.h5", "final.keras", "best.weights.h5"}
    finals |= {"curves.svg", "curves.png", "data.json", "result.json", "starts.jsonl"}
    assert files - events == checkpoints | finals


def test_recipe_json_is_what_the_flags_said(whole):
    recipe = Recipe.from_json((whole[0] / "recipe.json").read_text())
    assert (recipe.steps, recipe.batch_size, recipe.fields) == (STEPS, 32, {"repeats": [1, 1, 1]})
    manifest = weights.read_manifest(whole[0] / "final.weights.h5")
    assert manifest is not None
    assert Recipe.from_json(json.dumps(manifest.training["recipe"])) == recipe


def test_metrics_are_complete(whole):
    lines = metrics(whole[0])
    train = [line for line in lines if line["split"] == "train"]
    assert [line["step"] for line in train] == list(range(5, STEPS + 1, 5))
    for line in train:
        assert set(line) == {
            "step",
            "split",
            "loss",
            "accuracy",
            "learning_rate",
            "images_per_second",
            "memory_gib",
            "data_wait",
        }
        cosine = 0.05 * (1 + np.cos(np.pi * (line["step"] - 1) / STEPS))
        assert line["learning_rate"] == pytest.approx(cosine, rel=1e-6)
    tests = [line for line in lines if line["split"] == "test"]
    assert [line["step"] for line in tests] == [80, 160, 240]
    assert {line["examples"] for line in tests} == {360}


def test_the_network_learns(whole):
    train = [line for line in metrics(whole[0]) if line["split"] == "train"]
    assert train[-1]["loss"] < 0.3 * train[0]["loss"]
    assert last_line(whole[1])["top1"] > 80


def test_tensorboard_shows_the_same_numbers(whole):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(whole[0] / "tensorboard"))
    events.Reload()
    tensors = {tag: events.Tensors(tag) for tag in events.Tags()["tensors"]}
    shown = [
        (e.step, e.tensor_proto.float_val[0] if e.tensor_proto.float_val else None)
        for e in tensors["test/top1"]
    ]
    tests = [line for line in metrics(whole[0]) if line["split"] == "test"]
    assert [step for step, _ in shown] == [line["step"] for line in tests]
    assert {"train/loss", "train/accuracy", "train/learning_rate"} <= set(tensors)
    kernel = [e.tensor_proto for e in tensors["stage2_block1_conv1/kernel"]]  # a histogram
    assert len(kernel) == 3
    counts = np.frombuffer(kernel[-1].tensor_content, np.float64).reshape(-1, 3)[:, 2]
    assert counts.sum() == 3 * 3 * 16 * 32


def test_the_first_lines_say_what_runs_on_what(whole):
    """Multiply-adds by hand: 9 n_in n_out a convolution, at 8, 4 and 2 pixels a side."""
    stem = 64 * 9 * 1 * 16
    stage1 = 64 * 9 * (16 * 16) * 2
    stage2 = 16 * 9 * (16 * 32 + 32 * 32)
    stage3 = 4 * 9 * (32 * 64 + 64 * 64)
    total = stem + stage1 + stage2 + stage3 + 64 * 10
    lines = whole[1].stdout.splitlines()
    assert lines[0] == "digits: 1,797 images in 10 classes: 1,437 training, 360 test"
    (line,) = [line for line in lines if line.startswith("resnet20 on digits: ")]
    assert f" {total:,} multiply-adds; 32 images a step on 1 replica(s) (CPU)" in line
    assert "float32, XLA off; 1,437 examples" in line


@pytest.mark.slow
def test_a_profile_is_recorded_for_tensorboard(tmp_path):
    steps = ["--steps=14", "--batch_size=8", "--profile=3", "--log_every=7"]
    done = helpers.module("train", helpers.TINY, *steps, f"--workdir={tmp_path}")
    assert done.returncode == 0, done.stderr
    (trace,) = (tmp_path / "tensorboard" / "plugins" / "profile").glob("*/*.xplane.pb")
    assert b"FusedBatchNorm" in trace.read_bytes()


def interrupt(workdir: Path, number: int, after: int) -> tuple[int, str]:
    """Starts the run, sends a signal once it has printed a step; returns code and output."""
    process = forks.Run([*COMMAND, f"--workdir={workdir}"])
    for line in process.stdout:
        if line.startswith(f"step {after}/"):
            process.send_signal(number)
            break
    rest, _ = process.communicate()
    return process.wait(), rest


SIGNALS = [
    signal.SIGTERM,
    signal.SIGKILL,
    pytest.param(signal.SIGINT, marks=pytest.mark.slow),  # the same as SIGTERM; see test_signals
]


@pytest.fixture(scope="module", params=SIGNALS, ids=lambda number: number.name)
def resumed(request, tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess[str], dict]:
    """A run that was stopped between two checkpoints, and its second half."""
    workdir = tmp_path_factory.mktemp(request.param.name)
    code, rest = interrupt(workdir, request.param, 95)
    seen = {
        "code": code,
        "rest": rest,
        "number": request.param,
        "checkpoints": sorted(p.name for p in (workdir / "checkpoints").glob("*.npz")),
        "final": (workdir / "final.keras").exists(),
    }
    (workdir / "checkpoints" / "step_00000220.partial").write_bytes(b"half")
    return workdir, helpers.module(*COMMAND, f"--workdir={workdir}"), seen


def test_a_signal_stops_a_run(resumed):
    _, _, seen = resumed
    assert not seen["final"]
    assert seen["checkpoints"][:2] == ["step_00000040.npz", "step_00000080.npz"]
    if seen["number"] == signal.SIGKILL:
        assert seen["code"] == -signal.SIGKILL
        return
    assert seen["code"] == 128 + seen["number"]
    step = int(seen["checkpoints"][-1].removeprefix("step_").removesuffix(".npz"))
    assert 95 <= step < STEPS
    assert f"stopped after step {step}" in seen["rest"]


def test_the_same_command_goes_on_and_ends_bit_for_bit_the_same(resumed, whole):
    workdir, done, _ = resumed
    assert done.returncode == 0, done.stderr
    assert last_line(done) == last_line(whole[1])
    name = "checkpoints/step_00000240.npz"
    with np.load(workdir / name) as actual, np.load(whole[0] / name) as expected:
        assert actual.files == expected.files
        for key in actual.files:
            np.testing.assert_array_equal(actual[key], expected[key], err_msg=key)
    assert f"step {STEPS}/{STEPS}" in done.stdout
    assert re.search(rf"^resumes from step \d+ of {STEPS}$", done.stdout, re.MULTILINE)
    assert "step 5/" not in done.stdout


def test_a_resumed_run_tells_of_every_step_once(resumed, whole):
    lines = metrics(resumed[0])
    steps = [line["step"] for line in lines if line["split"] == "train"]
    assert steps == sorted(set(steps))
    assert steps[-1] == STEPS
    assert set(range(5, 81, 5)) <= set(steps)
    tests = [{**line} for line in lines if line["split"] == "test"]
    assert tests == [line for line in metrics(whole[0]) if line["split"] == "test"]


@pytest.mark.parametrize("name", ["final.weights.h5", "final.keras"])
def test_evaluate_repeats_what_training_said(whole, tmp_path, name):
    file = whole[0] / name
    out = tmp_path / "test.npz"
    arguments = [f"--weights={file}", "--dataset=digits", f"--examples_out={out}"]
    done = helpers.module("train.evaluate", *arguments, "--batch_size=77")
    assert done.returncode == 0, done.stderr
    expected = last_line(whole[1])
    found = last_line(done)
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    assert set(expected) == {"top1", "top5", "loss", "examples"}
    assert expected["examples"] == 360
    with np.load(out) as archive:
        assert archive["images"].shape == (360, 8, 8, 1)
        assert (archive["images"].min(), archive["images"].max()) == (0, 255)
        assert archive["labels"].shape == (360,)


def test_held_out_examples_are_evaluated_on_the_way(tmp_path):
    arguments = [helpers.TINY, "--steps=4", "--eval_every=2", "--validation=100"]
    arguments += ["--batch_size=32", "--strategy=mirrored", "--replicas=2", "--precision=bfloat16"]
    done = helpers.module("train", *arguments, f"--workdir={tmp_path}")
    assert done.returncode == 0, done.stderr
    found = [(e["step"], e["split"], e["examples"]) for e in metrics(tmp_path) if "top1" in e]
    assert found == [(2, "validation", 100), (4, "validation", 100), (4, "test", 360)]
    assert "32 images a step on 2 replica(s) (CPU) of 1 worker(s), bfloat16, XLA off" in done.stdout
