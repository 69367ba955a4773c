"""Decodes files of all supported formats to the channels of a network."""

import tensorflow as tf

from keras_resnet.preprocessing.decoding import bmp, jpeg, png, webp
from keras_resnet.preprocessing.decoding.colours import convert
from keras_resnet.preprocessing.decoding.reading import require, starts
from keras_resnet.preprocessing.views import Look

__all__ = ["decode", "decode_view", "seen"]

GIF = b"GIF8"


def decode(data: tf.Tensor, channels: int) -> tf.Tensor:
    """Decodes a JPEG, PNG, WebP, BMP or GIF (its first frame).

    The pixels are those of Pillow's `convert`: grey for 1 channel, RGB for 3, RGBA for 4, opaque if
    the file has no alpha. For 1 and 3 channels transparency is dropped; transparent pixels of a GIF
    are black. Of 16 bits per channel the lower 8 are dropped.

    Args:
        data: a scalar string, the content of a file. Its size is not limited here; see `total`.
        channels: 1, 3 or 4. BMP and GIF are refused for 4: their transparency is not decoded.

    Returns:
        uint8 [height, width, channels].

    Raises:
        InvalidArgumentError: at run time, for a broken image, or another format.
    """
    kinds = [
        (starts(data, jpeg.SIGNATURE), lambda: jpeg.pixels(data)),
        (starts(data, png.SIGNATURE), lambda: png.pixels(data, channels)),
        (webp.is_webp(data), lambda: webp.pixels(data)),
    ]
    message = "image_bytes are not a JPEG, PNG or WebP"
    if channels < 4:
        kinds += [(starts(data, bmp.SIGNATURE), lambda: bmp.pixels(data))]
        kinds += [(starts(data, GIF), lambda: _gif(data))]
        message = "the file is not a JPEG, PNG, WebP, BMP or GIF"
    image = convert(tf.case(kinds, default=lambda: _nothing(message)), channels)
    image.set_shape([None, None, channels])
    return image


def decode_view(data: tf.Tensor, channels: int, look: Look) -> tf.Tensor:
    """Decodes what a view needs of an image, and finishes it.

    Only a JPEG is decoded in part; other formats are decoded as a whole, and then cropped.

    Args:
        data: as that of `decode`.
        channels: as that of `decode`.
        look: says what is needed of an image of some height and width.

    Returns:
        what `look` makes of the image, of the same dtype and shape for all formats.

    Raises:
        InvalidArgumentError: at run time, for an image that is broken in the part that is decoded,
            or another format.
    """

    def of_jpeg() -> tf.Tensor:
        image, finish = jpeg.window(data, look)
        return finish(convert(image, channels))

    def of_others() -> tf.Tensor:
        return seen(decode(data, channels), look)

    return tf.cond(starts(data, jpeg.SIGNATURE), of_jpeg, of_others)


def seen(images: tf.Tensor, look: Look) -> tf.Tensor:
    """Returns what a view makes of images [..., height, width, channels] that are decoded."""
    size = images.shape[-3:-1]
    view = look(tf.constant(size.as_list()) if size.is_fully_defined() else tf.shape(images)[-3:-1])
    if view.window is None:
        return view.finish(images)
    top, left, height, width = tf.unstack(tf.convert_to_tensor(view.window))
    return view.finish(images[..., top : top + height, left : left + width, :])


def _gif(data: tf.Tensor) -> tf.Tensor:
    return tf.io.decode_image(data, channels=3, expand_animations=False)


def _nothing(message: str) -> tf.Tensor:
    with tf.control_dependencies([require(tf.constant(False), message)]):
        return tf.zeros([0, 0, 3], tf.uint8)
