"""Quantization-aware fine-tuning as a run of the driver: its start, steps, replicas and files."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_resnet import resnet, weights
from keras_resnet.export import tflite
from keras_resnet.manifest import Manifest
from keras_resnet.preprocessing import Preprocessing
from keras_resnet.preprocessing.views import whole as everything
from keras_resnet.rewrite import int8
from keras_resnet.rewrite.fold import fold
from tests.support import helpers
from tests.support.quantized_steps import FIELDS, ONE, SHAPE, recipe, stepped
from train import datasets, loop
from train.datasets import decoding
from train.datasets.batches import ALONE
from train.optimize import statistics
from train.recipes import RECIPES
from train.recipes.data import open_data
from train.recipes.recipe import Recipe
from train.run import state
from train.tasks import classification, evaluation

MEAN = 100.0
STD = 80.0
LONG = {"steps": 4, "save_every": 2, "eval_every": 2, "ema": 0.5, "freeze": ("stem",)}


def network(**arguments) -> keras.Model:
    return resnet("resnet20", input_shape=SHAPE, **FIELDS, **arguments)


@pytest.fixture(scope="module")
def start(tmp_path_factory) -> str:
    """A file to start from; nobody trained it, but its statistics are those of no initializer."""
    file = tmp_path_factory.mktemp("start") / "a.weights.h5"
    keras.utils.set_random_seed(5)
    model = helpers.randomize(network(classes=10))
    scaling = Preprocessing(mean=MEAN, std=STD, image_size=8, crop=1.0)
    weights.save(model, file, Manifest("resnet20", SHAPE, tuple("0123456789"), scaling, FIELDS))
    return str(file)


def fit(start: str, workdir: Path, **changes) -> dict[str, float]:
    data = open_data(recipe(start, **changes), None)
    return loop.fit(data, loop.Run(workdir, ONE))


@pytest.fixture(scope="module")
def whole(start, tmp_path_factory) -> tuple[Path, dict[str, float]]:
    """A run that nothing interrupted, with averaged weights and a part that does not learn."""
    workdir = tmp_path_factory.mktemp("whole")
    return workdir, fit(start, workdir, **LONG)


def loaded(file: Path) -> keras.Model:
    return resnet.from_weights(file, input_shape=SHAPE, classifier_activation=None)


def digits() -> tuple[np.ndarray, np.ndarray]:
    pairs = list(
        decoding.whole(datasets.load("digits", "test", None), everything).as_numpy_iterator()
    )
    images, labels = (np.stack(column) for column in zip(*pairs, strict=True))
    return images, labels


def test_a_run_starts_from_the_folded_weights(start, tmp_path) -> None:
    model = state.create(open_data(recipe(start), None), ONE, tmp_path).model
    expected = {w.path: w for w in fold(network(weights=start)).weights}
    assert expected.keys() == {w.path for w in model.trainable_variables}
    for variable in model.trainable_variables:
        np.testing.assert_array_equal(variable, expected[variable.path])


def test_a_run_publishes_what_it_measured(whole) -> None:
    workdir, result = whole
    images, labels = digits()
    for name in ("final.weights.h5", "final.keras"):
        model = loaded(workdir / name)
        assert int8.precision(model) == model.manifest.quantized == "int8"
        assert Recipe(**model.manifest.training["recipe"]).quantize
        logits = np.asarray(model((images.astype("float32") - MEAN) / STD))
        assert 100 * np.mean(logits.argmax(1) == labels) == pytest.approx(result["top1"])


def test_what_is_frozen_stays_and_is_rounded_too(whole, start) -> None:
    model = loaded(whole[0] / "final.weights.h5")
    before = fold(network(weights=start, classifier_activation=None))
    same = {
        there.path: np.array_equal(here, there)
        for layer in before.layers
        for there, here in zip(layer.weights, model.get_layer(layer.name).weights, strict=True)
    }
    assert {path for path, kept in same.items() if kept} == {"stem_conv1/kernel", "stem_conv1/bias"}
    assert np.isfinite([np.asarray(w) for w in statistics.moving(model)]).all()


def test_a_run_goes_on_where_it_stopped(whole, start, tmp_path) -> None:
    fit(start, tmp_path, **{**LONG, "steps": 2, "eval_every": 9})
    fit(start, tmp_path, **LONG)
    expected = loaded(whole[0] / "final.weights.h5").weights
    for there, here in zip(expected, loaded(tmp_path / "final.weights.h5").weights, strict=True):
        np.testing.assert_allclose(here, there, rtol=1e-5, atol=1e-6, err_msg=there.path)


def test_a_rounded_network_goes_on_as_one(whole) -> None:
    file = whole[0] / "final.weights.h5"
    data = open_data(recipe(str(file)), None)
    model = state.create(data, ONE, whole[0] / "none").model
    for there, here in zip(loaded(file).weights, model.weights, strict=True):
        np.testing.assert_array_equal(here, there, err_msg=there.path)


@pytest.mark.parametrize(
    "changes",
    [pytest.param({"jit_compile": True}, marks=pytest.mark.slow), {"micro_batches": 2}],
    ids=["XLA", "parts"],
)
def test_other_ways_of_a_step(changes, start, tmp_path) -> None:
    expected, actual = (stepped(start, ONE, tmp_path, **c) for c in ({}, changes))
    for there, here in zip(expected.weights, actual.weights, strict=True):
        # The first range is that of the first part.
        if there.trainable or "micro_batches" not in changes:
            np.testing.assert_allclose(here, there, rtol=0.01, atol=2e-3, err_msg=there.path)


def test_replicas_end_with_one_range(start, tmp_path) -> None:
    done = helpers.module("tests.support.quantized_steps", start, str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = dict(np.load(tmp_path / "replicas.npz").items())
    for name, value in found.items():
        np.testing.assert_array_equal(value, found[f"{name[:-1]}0"], err_msg=name)
    # Each saw its half of the batch; the network has the mean of what they saw.
    data = open_data(recipe(start), None)
    images, *_ = next(iter(data.train_batches(0)(ALONE)))
    halves = np.split(np.asarray(data.preprocessing.normalize(images)), 2)
    expected = np.mean([[half.min(), half.max()] for half in halves], 0)
    np.testing.assert_allclose(found["image_int8.range.0"], expected, rtol=1e-6)


def test_the_first_of_equal_logits_counts() -> None:
    """As with argmax; int8 leaves many logits equal, and a network gets no second choice."""
    image = keras.Input((6,))
    step = evaluation.eval_step(
        ONE, keras.Model(image, keras.layers.ReLU()(image)), classification.task()
    )
    logits = np.array([[1, 3, 3, 0, 0, 0]] * 3 + [[np.nan] * 6], "float32")
    sums = step(tf.constant(logits), tf.constant([1, 2, 5, 0], tf.int64), tf.ones(4))
    assert {name: float(sums[name]) for name in ("top1", "top5")} == {"top1": 1, "top5": 2}


REFUSED = {
    "random weights": (
        {"init_weights": "", "preprocessing": "none"},
        "quantize needs init_weights",
    ),
    "synchronized": ({"sync_bn": True}, "leaves none for sync_bn=True or precise_bn=0"),
    "precise": ({"precise_bn": 5}, "leaves none for sync_bn=False or precise_bn=5"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused(name: str) -> None:
    changes, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        recipe("a", **changes)


def test_command_lines(start, whole, tmp_path) -> None:
    """Refusals come before data is read; a rounded file needs no flag to stay one."""
    quick = ["train", "--steps=1", "--batch_size=8", "--dataset=digits", f"--workdir={tmp_path}/a"]
    row = ["--recipe=cifar10_resnet56_int8", f"--init_weights={start}", *quick[1:]]
    again = [f"--init_weights={whole[0]}/final.keras", "--learning_rate=0.01"]
    final = f"--weights={tmp_path}/a/final.keras"
    cases = [
        ["train", *row, "--precision=bfloat16", "--data_dir=/no/such/data"],
        ["train", *row, "--sync_bn", "--data_dir=/no/such/data"],
        [*quick, *again],
        ["train.evaluate", final, "--dataset=digits"],
    ]
    bfloat16, synchronized, trained, measured = helpers.modules(cases)
    assert "error: quantize needs precision=float32, got bfloat16" in bfloat16["stderr"]
    assert "error: quantize folds all BN" in synchronized["stderr"]
    assert trained["code"] == measured["code"] == 0, trained["stderr"] + measured["stderr"]
    assert Recipe.from_json((tmp_path / "a/recipe.json").read_text()).quantize
    said, found = (json.loads(done["stdout"].splitlines()[-1]) for done in (trained, measured))
    assert {name: found[name] for name in said} == pytest.approx(said)
    assert set(said) == {"top1", "top5", "loss", "examples"}


def test_the_row_starts_where_another_ends() -> None:
    row = RECIPES["cifar10_resnet56_int8"]
    assert row.quantize
    assert row.init_weights == "runs/cifar10_resnet56/final.weights.h5"
    assert (row.network, row.dataset) == (RECIPES["cifar10_resnet56"].network, "cifar10")


@pytest.mark.slow
def test_resnet56_keeps_its_accuracy_in_int8(data_dir, tmp_path) -> None:
    """From 93.39 % in float32 to 93.3 % or more, as TFLite computes all 10,000 test images."""
    start = data_dir / "weights/akamaster/resnet56-4bfd9763.th"
    place = [f"--data_dir={data_dir}/tfds", f"--workdir={tmp_path}/run"]
    row = ["--recipe=cifar10_resnet56_int8", f"--init_weights={start}"]
    done = helpers.module("train", *row, *place)
    assert done.returncode == 0, done.stderr
    final = f"--weights={tmp_path}/run/final.weights.h5"
    out = f"{tmp_path}/resnet56/1"
    command = ["keras_resnet.export", final, f"--out={out}", "--formats=tflite_int8"]
    done = helpers.module(*command)
    assert done.returncode == 0, done.stderr
    pairs = decoding.whole(datasets.load("cifar10", "test", f"{data_dir}/tfds"), everything).batch(
        100
    )
    run = tflite.runner(Path(out) / "model_int8.tflite")
    right = []
    for images, labels in pairs.as_numpy_iterator():
        right.extend(run(images.astype("float32")).argmax(1) == labels)
    assert len(right) == 10_000
    assert 100 * np.mean(right) >= 93.3
