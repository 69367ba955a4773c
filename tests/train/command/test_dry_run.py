"""What `python -m train` does besides training, and how a run in epochs begins and ends."""

import json
import shlex
from pathlib import Path

import pytest

from tests.support import helpers
from train.log.ending import Ending
from train.recipes.recipe import Recipe

SHORT = ["train", helpers.TINY, "--batch_size=32", "--preprocessing=none"]


def test_a_dry_run_writes_nothing_and_says_what_a_run_takes(tmp_path):
    done = helpers.module(*SHORT, "--dry_run", "--epochs=2", f"--workdir={tmp_path}/new")
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []
    told = dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    # 1,437 training images: 2 epochs are 2874 / 32 steps.
    assert told["length"].startswith("90 steps of 32 images, 2 epochs; peak learning rate 0.1")
    assert "a step needs at least" in told["memory"]
    assert "for 90 steps, without evaluations" in told["time"]
    assert f"{tmp_path}/new (which would be made)" in told["would write"]
    assert done.stdout.splitlines()[-1] == "dry run: nothing was written"


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        (["--momentum=0.5", "--field=shortcut=C"], {"momentum": 0.5, "steps": 1500}),
        (["--epochs=2"], {"steps": 23, "eval_every": 1, "warmup_steps": 0}),
    ],
    ids=["steps", "epochs"],
)
def test_the_printed_recipe_is_that_of_a_run(words, fields):
    done = helpers.module("train", "--print_recipe", *words)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    recipe = Recipe.from_json("\n".join(lines[lines.index("{") :]))
    assert {name: getattr(recipe, name) for name in fields} == fields


def test_a_run_in_epochs_resumes_and_ends_with_commands(tmp_path):
    workdir = tmp_path / "my run"
    command = [*SHORT, "--epochs=0.1", f"--workdir={workdir}"]
    done = helpers.module(*command)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["examples"] == 360
    assert "length: 5 steps of 32 images, 0.111 epochs of 1,437 images" in done.stdout
    *_, evaluate, export, page, _ = done.stdout.splitlines()
    for line, module in ((evaluate, "train.evaluate"), (export, "keras_resnet.export")):
        python, dash, name, *words = shlex.split(line)
        assert (python, dash, name) == ("python", "-m", module)
        weights = words[0].removeprefix("--weights=")
        assert Path(weights).is_file()
    assert shlex.split(page)[-1] == words[1].removeprefix("--out=")
    assert "best: top-1" in done.stdout
    again = helpers.module(*command)
    assert again.returncode == 1
    assert "is finished: 5 steps" in again.stderr


def test_the_next_version_of_an_export_is_free(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ending = Ending(Path("runs/mine"), 10, 61.0, "folder", "my photos", rounds=True)
    (tmp_path / "saved_models/mine/1").mkdir(parents=True)
    first, place, _, evaluate, export, page = ending.lines("")
    assert first == "finished: 10 steps; this process took 0:01:01"
    assert place == "in runs/mine: final.keras, final.weights.h5, curves.png"
    assert evaluate.endswith("--dataset=folder '--data_dir=my photos'")
    assert export.endswith("--out=saved_models/mine/2 --formats=tflite_int8,saved_model")
    assert page.endswith("saved_models.serving.page saved_models/mine/2")
