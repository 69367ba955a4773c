"""Exports compute what the network does, and run without Keras."""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_resnet
from keras_resnet import weights
from keras_resnet.export import formats, job, saved_model
from keras_resnet.manifest import Manifest
from keras_resnet.rewrite.fold import fold
from tests.support import helpers, variants
from tests.support.exporting import CAFFE, LABELS, by_hand, close, network, pixels
from tests.support.saved_networks import described

# Both kinds of block, in both orders; all others are slow.
VARIANTS = {
    "v1 basic A padded around": ("resnet20", {"zero_channels": "around"}),
    "v2 bottleneck": ("resnet50_v2", {}),
}


def served(out: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    loaded = tf.saved_model.load(str(out))
    return loaded.signatures["serving_default"](images=images)


def compare(out: Path, model: keras.Model) -> None:
    logits, probabilities = by_hand(model, pixels())
    found = served(out, pixels())
    close(found["logits"], logits)
    close(found["probabilities"], probabilities)


SAVED_MODEL = job.Job(["saved_model"])


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_saved_model_computes_what_the_network_does(tmp_path, variant):
    name, fields = VARIANTS[variant]
    model, manifest = network(name, **fields)
    figures = job.export(model, manifest, tmp_path / "1", SAVED_MODEL)["saved_model"]
    assert figures.relative < 1e-4
    assert figures.agreement == 100
    compare(tmp_path / "1", model)


@pytest.mark.slow
@variants.every
def test_every_kind_of_network_is_exported(tmp_path, variant):
    model = variant.build(classifier_activation=None, input_shape=(32, 32, 3))
    variants.randomize(model)
    manifest = Manifest("resnet18", (32, 32, 3), LABELS[:5], CAFFE, {})
    job.export(model, manifest, tmp_path / "1", SAVED_MODEL)
    compare(tmp_path / "1", model)


@pytest.mark.parametrize(
    "policy", ["mixed_float16", pytest.param("mixed_bfloat16", marks=pytest.mark.slow)]
)
def test_a_network_trained_in_mixed_precision_is_exported_in_float32(tmp_path, policy):
    keras.config.set_dtype_policy(policy)
    try:
        model, manifest = network("resnet20")
    finally:
        keras.config.set_dtype_policy("float32")
    weights.save(model, tmp_path / "a.weights.h5", manifest)
    found = described(tmp_path / "a.weights.h5")
    assert found.to_json() == manifest.to_json()
    same, _ = network("resnet20")
    weights.load(same, tmp_path / "a.weights.h5")
    job.export(same, found, tmp_path / "1", SAVED_MODEL)
    compare(tmp_path / "1", same)
    # bfloat16 has 8 bits: what it computes is only near.
    np.testing.assert_allclose(by_hand(same, pixels())[1], by_hand(model, pixels())[1], atol=0.05)


def test_bfloat16_is_half_the_size_and_near(tmp_path):
    model, manifest = network("resnet18", repeats=[1, 1, 1])
    chosen = job.Job(["saved_model"], "bfloat16")
    figures = job.export(model, manifest, tmp_path / "1", chosen)["saved_model"]
    # Large enough that the graph, of some 0.7 MB, does not hide the weights.
    count = fold(model).count_params()
    assert 2 * count < figures.bytes < 2 * count + 1_000_000 < 4 * count
    assert figures.sqnr > 25
    close_enough = by_hand(model, pixels())[1]
    np.testing.assert_allclose(
        served(tmp_path / "1", pixels())["probabilities"], close_enough, atol=0.05
    )


@pytest.mark.parametrize("dtype", job.PRECISIONS)
def test_constants_compute_what_variables_do(tmp_path, dtype):
    model, manifest = network("resnet20", repeats=[1, 1])
    job.export(model, manifest, tmp_path / "1", job.Job(["saved_model"], dtype))
    folded = fold(model, dtype)
    tensors = [folded.output, folded.get_layer("pool").output]
    variables = tf.function(keras.Model(folded.input, tensors))
    logits, features = variables(manifest.preprocessing.normalize(pixels()))
    signatures = tf.saved_model.load(str(tmp_path / "1"))
    found = signatures.signatures["features"](images=pixels())["features"]
    np.testing.assert_allclose(found, features, rtol=1e-6, atol=1e-6)
    found = signatures.signatures["serving_default"](images=pixels())["logits"]
    np.testing.assert_allclose(found, logits, rtol=1e-6, atol=1e-6)


def test_weights_that_protobuf_cannot_hold_are_refused(tmp_path, monkeypatch):
    model, manifest = network("resnet20", repeats=[1, 1])
    monkeypatch.setattr(saved_model, "LIMIT", 10_000)
    with pytest.raises(ValueError, match=r"holds .* GB of weights.* --precision=bfloat16"):
        job.export(model, manifest, tmp_path / "1", SAVED_MODEL)
    assert list(tmp_path.iterdir()) == []


def test_signatures(exported):
    signatures = tf.saved_model.load(str(exported[0])).signatures
    found = {
        name: (
            signature.structured_input_signature[1],
            {key: (tuple(x.shape), x.dtype) for key, x in signature.structured_outputs.items()},
        )
        for name, signature in signatures.items()
    }
    images = {"images": tf.TensorSpec([None, 32, 32, 3], tf.float32, name="images")}
    image_bytes = {"image_bytes": tf.TensorSpec([None], tf.string, name="image_bytes")}
    classes = dict.fromkeys(("logits", "probabilities"), ((None, 7), tf.float32))
    top = {
        "classes": ((None, 5), tf.int64),
        "labels": ((None, 5), tf.string),
        "probabilities": ((None, 5), tf.float32),
    }
    maps = {
        "stem": ((None, 32, 32, 16), tf.float32),
        "stage1": ((None, 32, 32, 16), tf.float32),
        "stage2": ((None, 16, 16, 32), tf.float32),
    }
    assert found == {
        "serving_default": (images, classes),
        "predict_bytes": (image_bytes, top),
        "explain": (
            image_bytes,
            {
                **top,
                "maps": ((None, 5, 16, 16), tf.float32),
                "images": ((None, 32, 32, 3), tf.uint8),
            },
        ),
        "features": (images, {"features": ((None, 32), tf.float32)}),
        "endpoints": (images, maps),
    }


def test_endpoints_and_features_are_those_of_the_network(exported):
    out, model, manifest = exported
    signatures = tf.saved_model.load(str(out))
    pyramid = keras_resnet.resnet("resnet20", endpoints=True, repeats=[2, 1])
    for layer in pyramid.layers:
        layer.set_weights(model.get_layer(layer.name).get_weights())
    expected = pyramid(manifest.preprocessing.normalize(pixels()), training=False)
    found = signatures.signatures["endpoints"](images=pixels())
    assert set(found) == set(expected)
    for name, value in expected.items():
        close(found[name], np.asarray(value))
    features = signatures.signatures["features"](images=pixels())["features"]
    close(features, np.asarray(expected["stage2"]).mean((1, 2)))


BAD_INPUTS = """
import sys
import numpy as np, tensorflow as tf
assert not any(name.split(".")[0] == "keras_resnet" for name in sys.modules)
predict = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
shapes = {"empty": (0, 32, 32, 3), "many": (129, 32, 32, 3),
          "rank 3": (32, 32, 3), "rank 5": (1, 1, 32, 32, 3), "size": (1, 31, 32, 3),
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
    assert len(lines) == 9


def test_an_existing_directory_is_left_alone(exported, tmp_path):
    _, model, manifest = exported
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="exists; export a new version beside it"):
        job.export(model, manifest, tmp_path / "1", SAVED_MODEL)
    assert [str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")] == ["1", "1/mine.txt"]


def test_a_failed_check_leaves_nothing_behind(exported, tmp_path, monkeypatch):
    _, model, manifest = exported
    honest = formats.FORMATS["tflite"]

    def wrong(path):
        run = honest.runner(path)
        return lambda images: run(images) * 1.001

    monkeypatch.setitem(formats.FORMATS, "tflite", replace(honest, runner=wrong))
    with pytest.raises(ValueError, match=r"tflite is not .* differs by 1.0e-03 of"):
        job.export(model, manifest, tmp_path / "new" / "1", job.Job(["tflite"]))
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]
