"""What the library makes of the bytes of an image, and what Pillow does."""

import io
from functools import cache

import numpy as np
import tensorflow as tf
from PIL import Image

from keras_resnet.preprocessing import decoding
from tests.support.hostile_images import encode

MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # of Pillow, for numbers of channels
TEXT = [tf.TensorSpec([], tf.string)]


@cache
def graph(channels: int):
    return tf.function(lambda data: decoding.decode(data, channels), TEXT)


@tf.function(input_signature=TEXT)
def total(data: tf.Tensor) -> tf.Tensor:
    return decoding.total(data[tf.newaxis])


def pillow(data: bytes, channels: int) -> np.ndarray:
    """By way of RGB or RGBA where a mode has no direct conversion."""
    image = Image.open(io.BytesIO(data))
    if image.mode == "CMYK":
        image = image.convert("RGB")
    if "transparency" in image.info:
        image = image.convert("RGBA")
    found = np.asarray(image.convert(MODES[channels]), np.int16)
    return found.reshape(*found.shape[:2], channels)


def off(data: bytes, channels: int) -> int:
    """How many levels the pixels are off those of Pillow."""
    found = graph(channels)(tf.constant(data)).numpy()
    expected = pillow(data, channels)
    assert found.shape == expected.shape
    assert found.dtype == np.uint8
    return int(np.abs(found - expected).max())


def smooth(size: tuple[int, int] = (63, 41), seed: int = 0) -> Image.Image:
    """What JPEG keeps: saturated colours that change slowly."""
    return Image.fromarray(
        np.random.default_rng(seed).integers(0, 256, (5, 4, 3)).astype(np.uint8)
    ).resize(size)


def photo(**options) -> bytes:
    return encode(smooth(), "JPEG", quality=90, **options)
