"""Exports compute what the network does, and run without Keras."""

from pathlib import Path

import helpers
import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_resnet
from keras_resnet import trained, weights
from keras_resnet.export import __main__ as command, checks, saved_model, tflite
from keras_resnet.manifest import Manifest
from keras_resnet.preprocessing import Preprocessing

CAFFE = Preprocessing(mean=(103.939, 116.779, 123.68), bgr=True, image_size=32, crop=1.0)
LABELS = tuple(f"class {i}" for i in range(7))
# Stem and branch of every variant, every option, both strides, and both kinds of block.
VARIANTS = {
    "v1 basic A": ("resnet20", {}),
    "v1 basic A padded around": ("resnet20", {"zero_channels": "around"}),
    "v1 basic C": ("resnet18", {"shortcut": "C", "stem_pool": "ceil"}),
    "v1 bottleneck B": ("resnet50", {}),
    "v1.5 bottleneck": ("resnet50_v1_5", {}),
    "v2 bottleneck": ("resnet50_v2", {}),
    "v2 basic A": ("resnet20_v2", {}),
    "D": ("resnet50_d", {}),
    "plain": ("plain18", {}),
}


def network(name: str, scaling: Preprocessing = CAFFE, **fields) -> tuple[keras.Model, Manifest]:
    """A network of two stages with random weights and BN statistics, and logits of order 1."""
    fields = {"repeats": [2, 1], **fields}
    keras.utils.set_random_seed(0)
    shape = (scaling.image_size, scaling.image_size, 3)
    model = keras_resnet.resnet(
        name, input_shape=shape, classes=7, classifier_activation=None, **fields
    )
    helpers.randomize(model)
    return model, Manifest(name, shape, LABELS, scaling, fields)


def pixels(count: int = 5, size: int = 32) -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 255, (count, size, size, 3)).astype(np.float32)


def by_hand(model: keras.Model, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logits of BGR minus the mean, and exp over its sum."""
    inputs = images[..., ::-1] - np.float32([103.939, 116.779, 123.68])
    logits = np.asarray(model(inputs, training=False), np.float64)
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return logits, powers / powers.sum(1, keepdims=True)


def close(actual: np.ndarray, expected: np.ndarray) -> None:
    """To 1e-4 of the largest value: folding BN into convolutions rounds differently."""
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def compare(out: Path, model: keras.Model) -> None:
    from ai_edge_litert.interpreter import Interpreter

    images = pixels()
    logits, probabilities = by_hand(model, images)
    served = tf.saved_model.load(str(out)).signatures["serving_default"](images=images)
    close(served["logits"], logits)
    close(served["probabilities"], probabilities)
    runner = Interpreter(model_path=str(out / "model.tflite")).get_signature_runner()
    for i, image in enumerate(images):
        lite = runner(images=image[np.newaxis])
        close(lite["logits"], logits[i : i + 1])
        close(lite["probabilities"], probabilities[i : i + 1])


@pytest.mark.parametrize("variant", VARIANTS)
def test_both_formats_compute_what_the_network_does(tmp_path, variant):
    name, fields = VARIANTS[variant]
    model, manifest = network(name, **fields)
    errors = command.export(model, manifest, tmp_path / "1")
    assert set(errors) == {"SavedModel", "TFLite"}
    assert max(errors.values()) < 1e-4
    compare(tmp_path / "1", model)


def test_a_network_trained_in_bfloat16_is_exported_in_float32(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model, manifest = network("resnet20")
    finally:
        keras.config.set_dtype_policy("float32")
    weights.save(model, tmp_path / "a.weights.h5", manifest)
    found = trained.describe(str(tmp_path / "a.weights.h5"), None, {}, None, None)
    assert found.to_json() == manifest.to_json()
    same, _ = network("resnet20")
    weights.load(same, tmp_path / "a.weights.h5")
    command.export(same, found, tmp_path / "1")
    compare(tmp_path / "1", same)
    # bfloat16 has 8 bits: what it computes is only near.
    np.testing.assert_allclose(by_hand(same, pixels())[1], by_hand(model, pixels())[1], atol=0.05)


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> tuple[Path, keras.Model, Manifest]:
    """What the command line makes, twice."""
    model, manifest = network("resnet20")
    folder = tmp_path_factory.mktemp("exported")
    weights.save(model, folder / "a.keras", manifest)
    cases = [
        ["keras_resnet.export", f"--weights={folder}/a.keras", f"--out={folder}/digits/{version}"]
        for version in (1, 2)
    ]
    for case, done in zip(cases, helpers.python_forks(folder / "forks", cases), strict=True):
        assert done["code"] == 0, done["stderr"]
        assert done["stdout"].splitlines()[-1] == f"done: {case[-1].removeprefix('--out=')}"
    return folder / "digits" / "1", model, manifest


def test_signature(exported):
    loaded = tf.saved_model.load(str(exported[0]))
    assert list(loaded.signatures) == ["serving_default"]
    signature = loaded.signatures["serving_default"]
    inputs = signature.structured_input_signature[1]
    assert inputs == {"images": tf.TensorSpec([None, 32, 32, 3], tf.float32, name="images")}
    shapes = {name: tuple(x.shape) for name, x in signature.structured_outputs.items()}
    assert shapes == {"logits": (None, 7), "probabilities": (None, 7)}


def test_tflite_has_the_same_signature(exported):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(exported[0] / "model.tflite"))
    expected = {"inputs": ["images"], "outputs": ["logits", "probabilities"]}
    assert interpreter.get_signature_list() == {"serving_default": expected}


def test_every_variable_is_written_once(exported):
    out, model, _ = exported
    size = sum(file.stat().st_size for file in (out / "variables").glob("*.data-*"))
    assert 4 * model.count_params() <= size < 4 * model.count_params() + 20_000


def test_two_exports_are_the_same_bytes(exported):
    first, second = (
        {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        for folder in (exported[0], exported[0].with_name("2"))
    )
    assert {"saved_model.pb", "model.tflite", "model.json"} <= set(first)
    assert {name for name in first if first[name] != second.get(name)} <= {"fingerprint.pb"}
    assert set(first) == set(second)


def test_model_json_says_what_it_is(exported):
    text = (exported[0] / "model.json").read_text()
    assert Manifest.from_json(text).to_json() == exported[2].to_json()


BAD_INPUTS = """
import sys
import numpy as np, tensorflow as tf
assert not any(name.split(".")[0] == "keras_resnet" for name in sys.modules)
predict = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
shapes = {"rank 3": (32, 32, 3), "rank 5": (1, 1, 32, 32, 3), "size": (1, 31, 32, 3),
          "channels": (1, 32, 32, 1), "dtype": (1, 32, 32, 3), "scalar": ()}
for name, shape in shapes.items():
    try:
        predict(images=tf.zeros(shape, tf.uint8 if name == "dtype" else tf.float32))
        print(name, "accepted")
    except (tf.errors.InvalidArgumentError, TypeError) as error:
        print(name, "refused:", type(error).__name__)
good = predict(images=tf.zeros((2, 32, 32, 3)))
print("alive", good["probabilities"].shape)
"""


def test_wrong_inputs_are_refused_and_the_server_lives(exported):
    done = helpers.python("-c", BAD_INPUTS, str(exported[0]))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "alive (2, 7)"
    for line in lines[:-1]:
        name = line.split(" refused")[0]
        allowed = (
            {"TypeError", "InvalidArgumentError"} if name == "dtype" else {"InvalidArgumentError"}
        )
        assert line.split(": ")[-1] in allowed, line
    assert len(lines) == 7


def test_an_existing_directory_is_left_alone(exported, tmp_path):
    _, model, manifest = exported
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "mine.txt").write_text("mine")
    with pytest.raises(OSError, match="not empty"):
        command.export(model, manifest, tmp_path / "1")
    assert [str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")] == ["1", "1/mine.txt"]


@pytest.mark.parametrize("part", ["SavedModel", "TFLite"])
def test_a_failed_check_leaves_nothing_behind(exported, tmp_path, monkeypatch, part):
    _, model, manifest = exported
    module = saved_model if part == "SavedModel" else tflite
    honest = module.run
    monkeypatch.setattr(module, "run", lambda *args: honest(*args) * 1.001)
    with pytest.raises(ValueError, match=f"{part} differs from the network by 1.0e-03"):
        command.export(model, manifest, tmp_path / "new" / "1")
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_fail_the_check(bad):
    expected = np.ones((2, 3))
    with pytest.raises(ValueError, match="TFLite"):
        checks.compare("TFLite", np.full((2, 3), bad), expected)
    assert checks.compare("TFLite", expected * 1.00001, expected) == pytest.approx(1e-5, rel=1e-3)
