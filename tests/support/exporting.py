"""What the tests of exports share: small networks with weights that no initializer gives."""

import keras
import numpy as np

import keras_resnet
from keras_resnet.manifest import Manifest
from keras_resnet.preprocessing import Preprocessing
from tests.support import helpers

CAFFE = Preprocessing(mean=(103.939, 116.779, 123.68), bgr=True, image_size=32, crop=1.0)
LABELS = tuple(f"class {i}" for i in range(7))


def network(name: str, scaling: Preprocessing = CAFFE, **fields) -> tuple[keras.Model, Manifest]:
    """A network of two stages with random weights and BN statistics, and logits of order 1."""
    fields = {"repeats": [2, 1], **fields}
    keras.utils.set_random_seed(0)
    shape = (scaling.image_size, scaling.image_size, 3)
    model = keras_resnet.resnet(
        name, input_shape=shape, classes=7, classifier_activation=None, **fields
    )
    helpers.randomize(model)
    head = model.get_layer("logits")
    head.set_weights([head.get_weights()[0] / 30, head.get_weights()[1]])
    return model, Manifest(name, shape, LABELS, scaling, fields, activation="softmax")


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
