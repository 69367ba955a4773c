"""Files that earlier versions wrote still load: `tests/support/old` is a run of version 0.1.

It was written by `python -m train --recipe=digits_resnet20 --field='stem=[[3,4,1]]'
--field='repeats=[1,1,1]' --steps=4 --batch_size=16 --eval_every=2 --save_every=2 --log_every=2
--ema=0.9`. The oracle is the checkpoint, read by NumPy alone: it holds the averaged weights, which
the other files publish as the network.
"""

import io
import json
import shutil

import keras
import numpy as np
import pytest

from keras_resnet import from_weights, weights
from keras_resnet.specs import differences
from tests.support import helpers

OLD = helpers.ROOT / "tests" / "support" / "old"
CHECKPOINT = OLD / "checkpoints" / "step_00000004.npz"
RUN = [
    "--recipe=digits_resnet20",
    "--field=stem=[[3,4,1]]",
    "--field=repeats=[1,1,1]",
    "--batch_size=16",
    "--eval_every=2",
    "--save_every=2",
    "--log_every=2",
    "--ema=0.9",
]


@pytest.fixture(scope="module")
def averages() -> list[np.ndarray]:
    """The averaged weights of the checkpoint, in the order of the model; its hash is cut off."""
    with np.load(io.BytesIO(CHECKPOINT.read_bytes()[:-32])) as arrays:
        names = sorted(name for name in arrays.files if name.startswith("ema/"))
        return [arrays[name] for name in names]


def check(model: keras.Model, averages: list[np.ndarray]) -> None:
    assert len(model.weights) == len(averages) == 7 + 7 * 4 + 2  # convolutions, norms, classifier
    for weight, average in zip(model.weights, averages, strict=True):
        np.testing.assert_array_equal(weight, average, err_msg=weight.path)


@pytest.mark.parametrize("name", ["final.keras", "final.weights.h5"])
def test_old_files_are_the_network_that_was_published(name, averages) -> None:
    model = from_weights(OLD / name)
    check(model, averages)
    assert model.input_shape == (None, None, None, 1)
    assert model.spec.stem == ((3, 4, 1),)
    assert model.spec.repeats == (1, 1, 1)
    assert model.spec.shortcut == "A"


def test_keras_itself_loads_an_old_model(averages) -> None:
    model = keras.models.load_model(OLD / "final.keras")
    check(model, averages)
    assert not differences(model.spec, from_weights(OLD / "final.keras").spec)
    assert model.endpoints == from_weights(OLD / "final.keras").endpoints


def test_old_weights_fill_a_network_that_was_built(averages) -> None:
    model = from_weights(OLD / "final.keras")
    for weight in model.weights:
        weight.assign(np.full(weight.shape, 7.0))
    weights.load(model, OLD / "final.weights.h5")
    check(model, averages)


@pytest.mark.parametrize("name", ["final.keras", "final.weights.h5"])
def test_old_manifests_say_what_the_run_knew(name) -> None:
    kept = json.loads((OLD / "data.json").read_text())
    manifest = weights.read_manifest(OLD / name)
    assert manifest.network == "resnet20"
    assert list(manifest.labels) == kept["labels"]
    assert manifest.image_shape == (8, 8, 1)
    assert manifest.activation == "softmax"
    np.testing.assert_array_equal(manifest.preprocessing.mean, kept["preprocessing"]["mean"])
    assert manifest.training["recipe"]["steps"] == 4


def test_an_old_run_goes_on_from_its_checkpoint(tmp_path) -> None:
    shutil.copytree(OLD, tmp_path / "run")
    done = helpers.module("train", *RUN, "--steps=6", f"--workdir={tmp_path / 'run'}")
    assert done.returncode == 0, done.stderr
    assert "resumes from step 4 of 6" in done.stdout
    assert (tmp_path / "run" / "checkpoints" / "step_00000006.npz").exists()
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    steps = [entry["step"] for entry in map(json.loads, lines) if entry["split"] == "train"]
    assert steps == [2, 4, 6]
