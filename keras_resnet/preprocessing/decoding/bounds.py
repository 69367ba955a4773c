"""Limits the size of images before anything is decoded.

The headers of JPEG, PNG and WebP files contain the size. A file of a few hundred bytes can need
gigabytes of memory or hours of time, and decoders fail only after they have tried.
"""

import tensorflow as tf

from keras_resnet.preprocessing.decoding import jpeg, png, webp
from keras_resnet.preprocessing.decoding.reading import require, starts

__all__ = ["total"]

MAX_PIXELS = 2**25  # of one image: 100 MB
MAX_TOTAL = 16 * MAX_PIXELS  # of all images of a request


def total(data: tf.Tensor) -> tf.Tensor:
    """Returns the total number of pixels, int64, of encoded images in a string tensor [batch].

    Nothing is decoded.

    Raises:
        InvalidArgumentError: at run time, for data that is not a JPEG, PNG or WebP of one frame,
            and for images that are too large.
    """
    pixels = tf.reduce_sum(tf.map_fn(_pixels, data, fn_output_signature=tf.int64))
    message = f"the images of a request have {{}} pixels; at most {MAX_TOTAL} are allowed"
    with tf.control_dependencies([require(pixels <= MAX_TOTAL, message, pixels)]):
        return tf.identity(pixels)


def _pixels(data: tf.Tensor) -> tf.Tensor:
    is_jpeg = starts(data, jpeg.SIGNATURE)
    is_png = starts(data, png.SIGNATURE)
    known = is_jpeg | is_png | webp.is_webp(data)
    with tf.control_dependencies([require(known, "image_bytes are not a JPEG, PNG or WebP")]):
        sizes = tf.case(
            [
                (is_jpeg, lambda: tf.stack(jpeg.size(data))),
                (is_png, lambda: tf.stack(png.size(data))),
            ],
            default=lambda: tf.stack(webp.size(data)),
        )
    height, width = tf.unstack(sizes, num=2)
    # A division, because the product of two sizes of 32 bits can exceed 63 bits.
    allowed = (height > 0) & (width > 0) & (height <= MAX_PIXELS // tf.maximum(width, 1))
    message = f"an image has {{}}x{{}} pixels; at most {MAX_PIXELS} are allowed"
    with tf.control_dependencies([require(allowed, message, width, height)]):
        return height * width
