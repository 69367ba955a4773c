"""Runs that go on by command: without their first weights, with other flags, with other data."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_resnet import weights
from tests.support import helpers

TINY = [helpers.TINY, "--batch_size=8", "--augmentation=shift", "--save_every=4"]
DIGITS = ["train", *TINY, "--dataset=digits"]


def photos(folder: Path) -> Path:
    """Two classes, dark and light, of 8x8 pixels."""
    for shade, name in enumerate(("dark", "light")):
        (folder / name).mkdir(parents=True)
        for i, pixels in enumerate(helpers.noise(20, 8, 8, 3, seed=shade)):
            Image.fromarray(pixels // 2 + 100 * shade).save(folder / name / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, dict]:
    """What each command answered; those of `again` came after the change that their name says."""
    root = tmp_path_factory.mktemp("runs")
    start = root / "start.weights.h5"
    folder = photos(root / "photos")
    mean = ["train", *TINY, "--dataset=folder", f"--data_dir={folder}", "--image_size=8"]
    tuned = ["train", "--recipe=finetune", "--augmentation=shift", "--dataset=digits"]
    tuned += [f"--init_weights={start}", "--batch_size=8", "--save_every=2", "--freeze=stem"]
    first = helpers.modules(
        [
            [*DIGITS, "--steps=6", f"--workdir={root}/base"],
            [*mean, "--steps=4", f"--workdir={root}/mean"],
        ],
    )
    assert [done["code"] for done in first] == [0, 0], first
    shutil.copy(root / "base" / "final.weights.h5", start)
    (begun,) = helpers.modules([[*tuned, "--steps=4", f"--workdir={root}/tuned"]])
    assert begun["code"] == 0, begun["stderr"]
    start.unlink()
    cases: dict[str, list[str]] = {
        "weights gone": [*tuned, "--steps=8", f"--workdir={root}/tuned"],
        "another network": [*tuned, "--steps=9", "--network=resnet18", f"--workdir={root}/tuned"],
        "never begun": [*tuned, "--steps=8", f"--workdir={root}/new"],
        "fewer": [*DIGITS, "--steps=3", f"--workdir={root}/base"],
        "the same": [*DIGITS, "--steps=6", f"--workdir={root}/base"],
        "more": [*DIGITS, "--steps=9", "--precision=bfloat16", f"--workdir={root}/base"],
        "photos came": [*mean, "--steps=8", f"--workdir={root}/mean"],
        "a class came": [*mean, "--steps=9", f"--workdir={root}/mean"],
    }
    told: dict[str, dict] = {"root": {"path": root}}
    steps = {
        "photos came": lambda: shutil.copy(folder / "dark/3.png", folder / "dark/new.png"),
        "a class came": lambda: shutil.copytree(folder / "dark", folder / "middle"),
    }
    names = [name for name in cases if name not in steps]
    answers = helpers.modules([cases[name] for name in names])
    told |= dict(zip(names, answers, strict=True))
    for name, change in steps.items():
        change()
        (told[name],) = helpers.modules([cases[name]])
    return told


def test_a_run_needs_its_first_weights_only_once(runs):
    done = runs["weights gone"]
    assert done["code"] == 0, done["stderr"]
    assert "resumes from step 4 of 8" in done["stdout"].splitlines()
    manifest = weights.read_manifest(runs["root"]["path"] / "tuned" / "final.weights.h5")
    base = weights.read_manifest(runs["root"]["path"] / "base" / "final.weights.h5")
    assert manifest is not None
    assert base is not None
    assert manifest.network == base.network
    assert manifest.fields == base.fields
    np.testing.assert_allclose(
        manifest.known_preprocessing().mean, base.known_preprocessing().mean, atol=1e-3
    )  # rounded
    assert manifest.training["changes"] == [{"after_step": 4, "steps": [4, 8]}]


@pytest.mark.parametrize(
    ("case", "error"),
    [
        ("another network", "network='resnet20' there, 'resnet18' now"),
        ("never begun", "start.weights.h5"),
        ("fewer", "has taken 6 steps of 6, and --steps=3 would"),
        ("the same", "is finished: 6 steps, top-1 "),
        ("a class came", "the classes changed since this run began: new: middle; gone: none"),
    ],
)
def test_what_is_another_run_is_refused_in_a_line(runs, case, error):
    done = runs[case]
    assert done["code"] == 1
    assert "Traceback" not in done["stderr"]
    (line,) = [x for x in done["stderr"].splitlines() if x.startswith("error: ")]
    assert error in line


def test_what_changed_is_said(runs):
    done = runs["more"]
    assert done["code"] == 0, done["stderr"]
    lines = done["stdout"].splitlines()
    assert "steps changes from 6 to 9 after step 6" in lines
    assert "resumes from step 6 of 9" in lines


def test_new_photos_are_said_and_the_mean_image_stays(runs):
    done = runs["photos came"]
    root = runs["root"]["path"]
    assert done["code"] == 0, done["stderr"]
    (line,) = [x for x in done["stdout"].splitlines() if "the data changed" in x]
    assert line.endswith("new: dark/new.png; gone: none")
    manifest = weights.read_manifest(root / "mean" / "final.weights.h5")
    kept = json.loads((root / "mean" / "data.json").read_text())
    assert manifest is not None
    np.testing.assert_array_equal(
        manifest.known_preprocessing().mean, kept["preprocessing"]["mean"]
    )
    assert kept["splits"]["train"]["size"] + kept["splits"]["test"]["size"] == 40
