"""The best network of a run is in a file of its own, as it was when it was measured."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import keras_resnet
from keras_resnet import weights
from tests.support import helpers
from tests.support.full_disk import room
from train import loop
from train.loop import Run
from train.recipes.data import open_data
from train.recipes.recipe import Recipe
from train.run import files, publishing, state
from train.tasks.headline import TOP1

RECIPE = helpers.recipe(
    steps=60, batch_size=32, eval_every=20, log_every=20, save_every=7, learning_rate=0.1
)
RECIPES = {
    "test": RECIPE,
    "averaged, on validation": replace(RECIPE, validation=100, ema=0.8),
    "precise": replace(RECIPE, precise_bn=2),
    "only at the end": replace(RECIPE, steps=30, eval_every=30),
}


def run(workdir: Path) -> Run:
    return Run(workdir, tf.distribute.get_strategy(), deterministic=True)


def follow(recipe: Recipe, workdir: Path) -> list[dict[str, Any]]:
    """Trains; returns the evaluations."""
    loop.fit(open_data(recipe, None), run(workdir))
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["split"] != "train"]


@pytest.fixture(scope="module", params=RECIPES)
def followed(request, tmp_path_factory) -> tuple[Recipe, Path, list[dict[str, Any]]]:
    workdir = tmp_path_factory.mktemp("run")
    recipe = RECIPES[request.param]
    return recipe, workdir, follow(recipe, workdir)


def told(workdir: Path) -> dict[str, Any]:
    manifest = weights.read_manifest(workdir / files.BEST)
    assert manifest is not None
    return dict(manifest.training["best"])


def test_it_is_the_first_of_the_most_accurate(followed) -> None:
    recipe, workdir, evaluations = followed
    split = "validation" if recipe.validation else "test"
    on_split = [e for e in evaluations if e["split"] == split]
    every = recipe.eval_every
    assert [e["step"] for e in on_split] == list(range(every, recipe.steps + 1, every))
    best = max(on_split, key=lambda e: e["top1"])  # the first of equal ones
    assert told(workdir) == {"step": best["step"], "top1": best["top1"], "split": split}
    manifest = weights.read_manifest(workdir / files.BEST)
    assert Recipe.from_json(json.dumps(manifest.training["recipe"])) == recipe


def test_it_is_as_accurate_as_it_says(followed) -> None:
    """Counted by NumPy; with averaged weights they are what the file holds."""
    recipe, workdir, _ = followed
    model = keras_resnet.resnet.from_weights(workdir / files.BEST, input_shape=(8, 8, 1))
    data = open_data(recipe, None)
    examples = data.splits[data.eval_split]
    pairs = [examples.decode(i) for i in examples.elements(None)]
    images, labels = (np.stack(column) for column in zip(*pairs, strict=True))
    right = np.argmax(model(model.preprocessing(images)), 1) == labels
    assert 100 * np.mean(right) == pytest.approx(told(workdir)["top1"], abs=1e-9)


def test_at_the_end_it_is_the_final_one(followed) -> None:
    recipe, workdir, _ = followed
    same = told(workdir)["step"] == recipe.steps
    best, final = (
        keras_resnet.resnet.from_weights(workdir / f"{name}.weights.h5", input_shape=(8, 8, 1))
        for name in ("best", "final")
    )
    pairs = zip(best.weights, final.weights, strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs) == same
    if recipe.steps == 30:
        assert same


def test_the_same_command_again_changes_nothing(followed) -> None:
    recipe, workdir, _ = followed
    before = (workdir / files.BEST).read_bytes()
    follow(recipe, workdir)
    assert (workdir / files.BEST).read_bytes() == before


def test_a_longer_run_has_to_beat_the_last_step_too(tmp_path, monkeypatch) -> None:
    """That was measured after its checkpoint."""
    recipe = RECIPES["only at the end"]
    follow(recipe, tmp_path)
    first = told(tmp_path)
    worse = {"top1": 1.0, "top5": 2.0, "loss": 1.0, "examples": 1}
    monkeypatch.setattr(loop, "evaluate", lambda *_: worse)
    follow(replace(recipe, steps=50, eval_every=10), tmp_path)
    assert told(tmp_path) == first
    with np.load(tmp_path / "checkpoints" / "step_00000050.npz") as archive:
        assert archive["number/best_step"] == first["step"] == 30
        assert archive["number/best_top1"] == first["top1"]


def test_what_was_measured_later_is_measured_again(tmp_path) -> None:
    """A run that was killed goes on from a checkpoint before its best evaluation."""
    assert publishing.best_until(tmp_path, 100, TOP1) is None
    (tmp_path / files.BEST).write_bytes(b"damaged")
    assert publishing.best_until(tmp_path, 100, TOP1) is None
    data = open_data(RECIPE, None)
    trained = state.create(data, tf.distribute.get_strategy(), tmp_path / "checkpoints")
    publishing.best(trained.model, data, tmp_path, 40, 50.0, TOP1)
    assert publishing.best_until(tmp_path, 39, TOP1) is None
    assert publishing.best_until(tmp_path, 40, TOP1) == (50.0, 40)


def test_a_full_disk_costs_the_new_one_and_not_the_old(tmp_path, capsys) -> None:
    data = open_data(RECIPE, None)
    trained = state.create(data, tf.distribute.get_strategy(), tmp_path / "checkpoints")
    publishing.best(trained.model, data, tmp_path, 20, 50.0, TOP1)
    before = (tmp_path / files.BEST).read_bytes()
    with room(100_000):
        publishing.best(trained.model, data, tmp_path, 40, 60.0, TOP1)
    assert f"step 40: the best network so far is not in {tmp_path}" in capsys.readouterr().out
    assert [file.name for file in tmp_path.iterdir()] == [files.BEST]
    assert (tmp_path / files.BEST).read_bytes() == before


def test_weights_that_are_no_numbers_are_not_the_best(tmp_path) -> None:
    data = open_data(RECIPE, None)
    trained = state.create(data, tf.distribute.get_strategy(), tmp_path / "checkpoints")
    weight = trained.model.weights[3]
    weight.assign(np.full(weight.shape, np.nan))
    publishing.best(trained.model, data, tmp_path, 20, 50.0, TOP1)
    assert list(tmp_path.iterdir()) == []
