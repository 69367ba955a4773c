"""Runs that are started again: which go on, which are refused, and what they keep."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from keras_resnet.preprocessing import Preprocessing
from tests.support import helpers
from train import datasets
from train.recipes.data import Data
from train.run import data_file, files, workdirs
from train.tasks.headline import TOP1

RECIPE = helpers.recipe(steps=30)


def started(workdir: Path, *steps: int, recipe=RECIPE) -> Path:
    """A workdir with a recipe, and checkpoints after these steps."""
    workdirs.claim(workdir, recipe, 0)
    (workdir / "checkpoints").mkdir(exist_ok=True)
    for step in steps:
        (workdir / "checkpoints" / f"step_{step:08d}.npz").write_bytes(b"")
    return workdir


@pytest.mark.parametrize(("reached", "now"), [(30, 10), (30, 29), (20, 10)])
def test_fewer_steps_than_were_taken_are_refused(tmp_path, reached, now):
    workdir = started(tmp_path, 10, reached)
    with pytest.raises(ValueError, match=f"has taken {reached} steps of 30, and --steps={now}"):
        workdirs.check(workdir, replace(RECIPE, steps=now), TOP1)


@pytest.mark.parametrize("now", [20, 25, 30, 60])
def test_others_go_on(tmp_path, now):
    workdir = started(tmp_path, 10, 20)
    workdirs.check(workdir, replace(RECIPE, steps=now), TOP1)


def test_a_finished_run_is_not_begun_again(tmp_path):
    workdir = started(tmp_path, 30)
    workdirs.check(workdir, RECIPE, TOP1)  # its last step is taken; files are missing
    files.finish(workdir, 30, {"top1": 98.765, "examples": 360.0})
    with pytest.raises(ValueError, match=r"is finished: 30 steps, top-1 98\.77 % \(result\.json\)"):
        workdirs.check(workdir, RECIPE, TOP1)
    workdirs.check(workdir, replace(RECIPE, steps=31), TOP1)


@pytest.mark.parametrize("text", ["", '{"step": 30}', "[]"])
def test_a_result_that_was_cut_short_is_written_again(tmp_path, text):
    workdir = started(tmp_path, 30)
    (workdir / "result.json").write_text(text)
    workdirs.check(workdir, RECIPE, TOP1)


def test_a_finished_run_without_checkpoints_is_not_begun_again(tmp_path):
    workdir = started(tmp_path)
    workdirs.check(workdir, RECIPE, TOP1)
    (workdir / "final.weights.h5").touch()
    with pytest.raises(ValueError, match="finished run without its checkpoints"):
        workdirs.check(workdir, RECIPE, TOP1)


def test_a_change_is_said_and_kept(tmp_path):
    workdir = started(tmp_path, 20)
    lines = workdirs.claim(workdir, replace(RECIPE, steps=60, log_every=5), 20)
    assert lines == [
        "steps changes from 30 to 60 after step 20",
        "log_every changes from 100 to 5 after step 20",
    ]
    assert workdirs.claim(workdir, replace(RECIPE, steps=60, log_every=5), 30) == []
    workdirs.claim(workdir, replace(RECIPE, steps=70, log_every=5), 60)
    assert workdirs.changes(workdir) == [
        {"after_step": 20, "steps": [30, 60], "log_every": [100, 5]},
        {"after_step": 60, "steps": [60, 70]},
    ]


def test_a_run_that_begins_has_no_changes(tmp_path):
    workdir = started(tmp_path, 20)
    workdirs.claim(workdir, replace(RECIPE, steps=60), 20)
    assert workdirs.claim(workdir, replace(RECIPE, steps=90), 0) == []
    assert workdirs.changes(workdir) == []


@pytest.mark.parametrize("steps", [(), (20,)], ids=["before a checkpoint", "after one"])
def test_a_run_goes_on_where_there_are_checkpoints(tmp_path, steps):
    assert workdirs.resumed(tmp_path) is None
    assert workdirs.resumed(started(tmp_path, *steps)) == (RECIPE if steps else None)


@pytest.fixture
def photos(tmp_path) -> tuple[Path, Path]:
    """A folder of photos, and the workdir of a run that has begun with them."""
    folder = helpers.image_folder(tmp_path / "photos", 60)
    workdir = tmp_path / "run"
    workdir.mkdir()
    data_file.write(workdir, opened(folder))
    return folder, workdir


def opened(folder: Path) -> Data:
    names = ("train", "test")
    splits = {name: datasets.load("folder", name, str(folder)) for name in names}
    recipe = helpers.recipe(dataset="folder", image_size=8)
    return Data(recipe, splits, Preprocessing((1.0, 2.0, 3.0), image_size=8))


def compared(photos: tuple[Path, Path]) -> list[str]:
    old = data_file.read(photos[1])
    assert old is not None
    return data_file.compare(old, opened(photos[0]))


def test_scaling_and_classes_are_kept(photos):
    old = data_file.read(photos[1])
    assert old is not None
    assert old.preprocessing == Preprocessing((1.0, 2.0, 3.0), image_size=8)
    assert old.labels == ("a", "b", "c")
    assert compared(photos) == []


def test_photos_that_came_and_went_are_said(photos):
    folder, _ = photos
    names = datasets.load("folder", "train", str(folder)).listing
    (folder / names[0].decode()).unlink()
    helpers.image_folder(folder / "new", 3)
    for i, file in enumerate(sorted((folder / "new").rglob("*.png"))):
        file.rename(folder / "a" / f"new{i}.png")
    for empty in ("new/a", "new/b", "new/c", "new"):
        (folder / empty).rmdir()
    (line,) = [line for line in compared(photos) if ": train " in line]
    assert "the data changed since this run began" in line
    assert f"gone: {names[0].decode()}" in line
    assert "new: a/new" in line


@pytest.mark.parametrize("change", ["renamed", "added", "removed"])
def test_other_classes_are_refused(photos, change):
    folder, _ = photos
    if change != "added":
        (folder / "a").rename(folder / "d" if change == "renamed" else folder.parent / "gone")
    else:
        helpers.image_folder(folder / "sub", 30)
        (folder / "sub" / "a").rename(folder / "d")
        for file in sorted((folder / "sub").rglob("*"), reverse=True):
            file.unlink() if file.is_file() else file.rmdir()
        (folder / "sub").rmdir()
    with pytest.raises(ValueError, match="the classes changed since this run began"):
        compared(photos)


def test_an_image_that_was_trained_on_is_never_for_testing(photos):
    _, workdir = photos
    told = json.loads((workdir / files.DATA).read_text())
    told["splits"]["train"]["files"].append(told["splits"]["test"]["files"][0])
    (workdir / files.DATA).write_text(json.dumps(told))
    with pytest.raises(ValueError, match="1 images that this run has trained on are for test now"):
        compared(photos)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"labels": 1}'])
def test_a_damaged_file_is_an_error(photos, text):
    (photos[1] / files.DATA).write_text(text)
    with pytest.raises(ValueError, match=r"data\.json is not what a run keeps of its data"):
        data_file.read(photos[1])
