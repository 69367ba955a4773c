"""Whole files: which format one is, and its pixels in the channels that a network takes."""

import tensorflow as tf

from keras_resnet.preprocessing.decoding import bmp, jpeg, png, webp
from keras_resnet.preprocessing.decoding.colours import convert
from keras_resnet.preprocessing.decoding.reading import require, starts

GIF = b"GIF8"


def decode(data: tf.Tensor, channels: int) -> tf.Tensor:
    """Decodes a JPEG, PNG, WebP, BMP or GIF (its first frame).

    The pixels are those of Pillow's `convert`: greys for 1 channel, RGB for 3, RGBA for 4, opaque
    where the file has no alpha. Transparency is dropped for 1 and 3 (but transparent pixels of a
    GIF are black), and of sixteen bits the lower eight.

    Args:
        data: a scalar string. Its size is not bounded here; see `total`.
        channels: 1, 3 or 4. BMP and GIF, whose transparency is not read, are refused for 4.

    Returns:
        uint8 [height, width, channels].

    Raises:
        InvalidArgumentError: when run, for a broken image, or another format.
    """
    kinds = [
        (starts(data, jpeg.SIGNATURE), lambda: jpeg.pixels(data)),
        (starts(data, png.SIGNATURE), lambda: png.pixels(data, channels)),
        (webp.is_webp(data), lambda: webp.pixels(data)),
    ]
    message = "image_bytes hold no JPEG, PNG or WebP"
    if channels < 4:
        kinds += [(starts(data, bmp.SIGNATURE), lambda: bmp.pixels(data))]
        kinds += [(starts(data, GIF), lambda: _gif(data))]
        message = "the file holds no JPEG, PNG, WebP, BMP or GIF"
    image = convert(tf.case(kinds, default=lambda: _nothing(message)), channels)
    image.set_shape([None, None, channels])
    return image


def _gif(data: tf.Tensor) -> tf.Tensor:
    return tf.io.decode_image(data, channels=3, expand_animations=False)


def _nothing(message: str) -> tf.Tensor:
    with tf.control_dependencies([require(tf.constant(False), message)]):
        return tf.zeros([0, 0, 3], tf.uint8)
