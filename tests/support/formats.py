"""What the tests of file formats share: a network for each axis, and what it computes."""

from dataclasses import dataclass
from functools import lru_cache

import keras
import numpy as np

from keras_resnet.manifest import Manifest
from keras_resnet.preprocessing import Preprocessing, mode, per_pixel
from keras_resnet.rewrite.fold import fold
from tests.support import variants

SIZE = 32
MEAN_IMAGE = per_pixel(np.random.default_rng(3).uniform(90, 150, (SIZE, SIZE, 3)))
SCALINGS = {
    "none": mode("none", image_size=SIZE, crop=1.0),
    "torch": mode("torch", image_size=SIZE, crop=1.0),
    "caffe": mode("caffe", image_size=SIZE, crop=1.0),
    "mean image": MEAN_IMAGE,
}
# Every option and order of activation, both branches, and every way of scaling pixels.
CASES = {
    "basic-cifar-A": "none",
    "basic-cifar-A-around": "torch",
    "bottleneck-v1.5-C": "caffe",
    "basic-deep-D": "torch",
    "bottleneck-v2-B": "mean image",
    "basic-v1-plain": "caffe",
}


@dataclass(frozen=True)
class Case:
    """A network with random weights, the images that it sees, and what Keras computes of them."""

    model: keras.Model
    folded: keras.Model
    manifest: Manifest
    images: np.ndarray  # float32 of 0..255, [48, SIZE, SIZE, 3]
    expected: np.ndarray


@lru_cache
def case(name: str) -> Case:
    chosen = next(each for each in variants.ALL if str(each) == name)
    fields = {"repeats": (1, 1), "input_shape": (SIZE, SIZE, 3)}
    model = chosen.build(classifier_activation=None, **fields)
    variants.randomize(model)
    scaling = SCALINGS[CASES[name]]
    manifest = Manifest("resnet18", (SIZE, SIZE, 3), tuple("abcde"), scaling)
    images = photographs(48)
    expected = np.asarray(model(normalized(images, scaling), training=False))
    return Case(model, fold(model), manifest, images, expected)


def photographs(count: int, seed: int = 1) -> np.ndarray:
    """Whole levels of grey: colours that differ from image to image, edges, and noise."""
    random = np.random.default_rng(seed)
    colours = random.uniform(0, 255, (count, 2, 2, 3)).repeat(SIZE // 2, 1).repeat(SIZE // 2, 2)
    images = colours + random.normal(0, 20, (count, SIZE, SIZE, 3))
    return np.clip(np.rint(images), 0, 255).astype(np.float32)


def normalized(images: np.ndarray, scaling: Preprocessing) -> np.ndarray:
    ordered = images[..., ::-1] if scaling.bgr else images
    return (ordered - np.float32(scaling.mean)) / np.float32(scaling.std)


def relative(actual: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, over the largest value."""
    assert actual.shape == expected.shape
    return float(np.abs(actual - expected).max() / np.abs(expected).max())


def sqnr(actual: np.ndarray, expected: np.ndarray) -> float:
    """In dB; of what differs from image to image, as the rest tells none from another."""
    signal = np.float64(expected) - expected.mean(0)
    return float(10 * np.log10(np.mean(signal**2) / np.mean((actual - np.float64(expected)) ** 2)))
