"""Trainings and evaluations on folders in which images are broken, from outside."""

import json
import shutil
from pathlib import Path

import pytest

from tests.support import damages, helpers

TRAIN = [helpers.TINY, "--dataset=folder", "--steps=6", "--batch_size=8", "--image_size=8"]
TRAIN += ["--eval_every=2", "--augmentation=shift"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> tuple[Path, Path, list[str]]:
    return damages.folders(tmp_path_factory.mktemp("folders"))


@pytest.fixture(scope="module")
def runs(folders, tmp_path_factory) -> dict[str, dict]:
    """Trainings, and an evaluation, in processes of their own."""
    root = tmp_path_factory.mktemp("runs")
    whole, damaged, names = folders
    shutil.copytree(whole, root / "none")
    for file in (root / "none" / "test").rglob("*.*"):
        file.write_text("hello")
    enough = f"--max_broken={len(names) + 1}"
    short = f"--max_broken={len(names) - 1}"
    places = {
        "enough": (damaged, enough, "per_pixel"),
        "mean": (damaged, short, "per_pixel"),
        "training": (damaged, short, "caffe"),
        "nothing": (root / "none", "--max_broken=9", "caffe"),
    }
    cases = [
        [
            "train",
            *TRAIN,
            f"--data_dir={place}",
            limit,
            f"--preprocessing={mode}",
            f"--workdir={root}/{name}",
        ]
        for name, (place, limit, mode) in places.items()
    ]
    cases += [
        [
            "train.evaluate",
            f"--weights={root}/enough/final.keras",
            "--dataset=folder",
            f"--data_dir={damaged}",
            f"--max_broken={limit}",
        ]
        for limit in (1, 0)
    ]
    done = helpers.modules(cases)
    return dict(zip([*places, "evaluate", "strict"], done, strict=True))


def test_a_run_leaves_broken_images_out(runs, folders):
    done = runs["enough"]
    names = folders[2]
    assert done["code"] == 0, done["stderr"]
    lines = [line for line in done["stdout"].splitlines() if line.startswith("broken image")]
    assert len(lines) == len(names) + 1
    assert all(sum(name in line for line in lines) == 1 for name in names)
    assert json.loads(done["stdout"].splitlines()[-1])["examples"] == 8


@pytest.mark.parametrize("where", ["mean", "training"])
def test_a_run_ends_with_one_error_if_too_many_are_broken(runs, folders, where):
    done = runs[where]
    count = len(folders[2])
    assert done["code"] == 1
    assert "Traceback" not in done["stderr"] + done["stdout"]
    error = done["stderr"].splitlines()[-1]
    assert f"error: {count} images cannot be decoded, max_broken is {count - 1}" in error
    assert sum(error.endswith(name) for name in [*folders[2], "png"]) >= 1


def test_an_evaluation_of_nothing_is_an_error(runs):
    assert runs["nothing"]["code"] == 1
    last = runs["nothing"]["stderr"].splitlines()[-1]
    assert last == "error: no image of the split could be decoded"


def test_an_evaluation_counts_whole_images(runs):
    assert json.loads(runs["evaluate"]["stdout"].splitlines()[-1])["examples"] == 8
    assert runs["strict"]["code"] == 1
    assert "error: 1 images cannot be decoded, max_broken is 0" in runs["strict"]["stderr"]
