"""From `model.save` to an export by command: every head, channels and size, asked with bytes."""

import io
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import keras_resnet
from tests.support import helpers, variants

COLOURS = {1: "L", 3: "RGB", 4: "RGBA"}
HEADS = {
    "softmax": {"classes": 5, "classifier_activation": "softmax", "input_shape": (32, 32, 3)},
    "one sigmoid, grey": {
        "classes": 1,
        "classifier_activation": "sigmoid",
        "input_shape": (32, 32, 1),
    },
    "several sigmoids, oblong": {
        "classes": 7,
        "classifier_activation": "sigmoid",
        "input_shape": (24, 40, 3),
    },
    "logits, RGBA": {"classes": 3, "classifier_activation": None, "input_shape": (32, 32, 4)},
    "mixed policy": {
        "classes": 5,
        "classifier_activation": "softmax",
        "input_shape": (24, 32, 3),
    },
}


def built(name: str) -> keras.Model:
    """Returns a network that a user built; under a mixed policy, as his trainer had set it."""
    before = keras.config.dtype_policy()
    try:
        if name == "mixed policy":
            keras.config.set_dtype_policy("mixed_bfloat16")
        model = keras_resnet.ResNet8(**HEADS[name])
    finally:
        keras.config.set_dtype_policy(before)
    variants.randomize(model)
    return model


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze(), COLOURS[pixels.shape[-1]]).save(file, "PNG")
    return file.getvalue()


def answers(out: Any, images: np.ndarray) -> dict[str, np.ndarray]:
    """Returns what the export says of the bytes of images, by class."""
    signatures = tf.saved_model.load(str(out)).signatures
    found = signatures["predict_bytes"](image_bytes=tf.constant([png(image) for image in images]))
    name = "probabilities" if "probabilities" in found else "logits"
    order = np.argsort(found["classes"].numpy(), 1)
    best = np.take_along_axis(found[name].numpy(), order, 1)
    pixels = signatures["serving_default"](images=tf.constant(images.astype("float32")))
    return {"bytes": best, "pixels": pixels[name].numpy(), "names": set(pixels)}


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".keras", ".h5", ".weights.h5"])
@pytest.mark.parametrize("name", HEADS)
def test_an_export_answers_as_the_network_that_was_saved(name, suffix, tmp_path) -> None:
    model, out = built(name), tmp_path / "export" / "1"
    file = tmp_path / f"mine{suffix}"
    model.save_weights(file) if suffix == ".weights.h5" else model.save(file)
    told = ["--preprocessing=tf"] if model.input_shape[-1] != 4 else ["--mean=100", "--std=50"]
    done = helpers.module(
        "keras_resnet.export",
        f"--weights={file}",
        f"--out={out}",
        *told,
        "--formats=saved_model",
    )
    assert done.returncode == 0, done.stderr
    images = np.random.default_rng(0).integers(0, 256, (4, *model.input_shape[1:]), np.uint8)
    mean, std = (127.5, 127.5) if model.input_shape[-1] != 4 else (100, 50)
    plain = keras_resnet.ResNet8(**HEADS[name])  # in float32
    plain.set_weights(model.get_weights())
    expected = plain.predict((images.astype("float32") - mean) / std, verbose=0)
    found = answers(out, images)
    np.testing.assert_allclose(found["pixels"], expected, atol=1e-4 * np.abs(expected).max())
    if expected.shape[1] <= 5:  # all of them are among the best five
        np.testing.assert_allclose(found["bytes"], expected, atol=1e-4 * np.abs(expected).max())
    ends_in_logits = HEADS[name]["classifier_activation"] is None
    assert found["names"] == {"logits"} | (set() if ends_in_logits else {"probabilities"})
