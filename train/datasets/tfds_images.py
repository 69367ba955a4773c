"""Decodes the images of TensorFlow Datasets, whose own decoder is inexact for JPEGs."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from keras_resnet.preprocessing.decoding.colours import CHANNELS
from keras_resnet.preprocessing.decoding.files import decode, decode_view, seen
from keras_resnet.preprocessing.decoding.reading import require
from keras_resnet.preprocessing.views import Look

HINT = "images of uint8, uint16, or floats of 0..1 or 0..255 can be used"


@dataclass(frozen=True)
class Decoder:
    """How the feature "image" of a data set becomes pixels.

    Args:
        told: the argument `decoders` of TFDS's functions.
        pixels: makes what a view needs of the tensor that TFDS then returns; it fails for a broken
            image.
        notes: lines for the user.
    """

    told: dict[str, Any] | None
    pixels: Callable[[Any, Look], tf.Tensor]
    notes: tuple[str, ...] = ()


def decoder(feature: Any, first: Callable[[], Iterable[np.ndarray[Any, Any]]]) -> Decoder:
    """Returns the decoder of a feature "image".

    Of 16 bits the upper eight are kept, as for PNG files. Floats of 0..1 are multiplied by 255,
    floats of 0..255 are rounded.

    Args:
        feature: TFDS's feature.
        first: returns some images as TFDS returns them, which show the range of floats.

    Raises:
        ValueError: for other shapes, types and ranges.
    """
    import tensorflow_datasets as tfds

    shape = feature.shape
    kind = np.dtype(feature.np_dtype)
    files = isinstance(feature, tfds.features.Image)
    if len(shape or ()) != 3 or shape[-1] is None:
        raise ValueError(
            f"image has the shape {shape}; it must be (height, width, channels), with a known"
            " number of channels"
        )
    if files and shape[-1] not in CHANNELS:
        raise ValueError(f"image has {shape[-1]} channels; {CHANNELS} can be read")
    notes = ("16-bit images: the upper eight bits are used",) if kind == np.uint16 else ()
    if files and kind in (np.uint8, np.uint16):

        def read(data: tf.Tensor, look: Look) -> tf.Tensor:
            if None in shape:
                return decode_view(data, shape[-1], look)
            return seen(tf.ensure_shape(decode(data, shape[-1]), shape), look)

        return Decoder({"image": tfds.decode.SkipDecoding()}, read, notes)
    if kind == np.uint8:
        return Decoder(None, seen)
    if kind == np.uint16:
        return Decoder(
            None,
            lambda image, look: seen(tf.cast(tf.cast(image, tf.int32) // 256, tf.uint8), look),
            notes,
        )
    if not np.issubdtype(kind, np.floating):
        raise ValueError(f"image has the type {kind}; {HINT}")
    top = _top(first())
    change = "times 255" if top == 1 else "rounded"
    note = f"float images: levels of 0..{top}, {change}"
    return Decoder(None, lambda image, look: seen(_rounded(image, top), look), (note,))


def _top(images: Iterable[np.ndarray[Any, Any]]) -> int:
    """Returns 1 or 255, the level of white.

    Raises:
        ValueError: if it is neither, or could be both: for a maximum between 1 and 2, or black
            images.
    """
    lowest, highest = zip(*((image.min(), image.max()) for image in images), strict=True)
    low = float(np.min(lowest))
    high = float(np.max(highest))
    if low >= 0 and 0 < high <= 1:
        return 1
    if low >= 0 and 2 <= high <= 255:
        return 255
    raise ValueError(f"image has floats of {low:g}..{high:g}; {HINT}")


def _rounded(image: tf.Tensor, top: int) -> tf.Tensor:
    low = tf.reduce_min(image)
    high = tf.reduce_max(image)
    message = f"levels of {{}} to {{}}, where the first images have 0 to {top}"
    with tf.control_dependencies([require((low >= 0) & (high <= top), message, low, high)]):
        return tf.cast(tf.round(tf.cast(image, tf.float32) * (255 // top)), tf.uint8)
