"""How large images are, before anything is decoded: what would cost much is refused.

JPEG, PNG and WebP say in their first bytes how large they are. An image of a few hundred bytes
can ask for gigabytes, or for hours, and decoders only fail once they have tried.
"""

import tensorflow as tf

from keras_resnet.preprocessing.decoding import jpeg, png, webp
from keras_resnet.preprocessing.decoding.reading import require, starts

MAX_PIXELS = 2**25  # of one image: 100 MB
MAX_TOTAL = 16 * MAX_PIXELS  # of all images of a request


def total(data: tf.Tensor) -> tf.Tensor:
    """Returns how many pixels the images of a string tensor [batch] have in all.

    Raises:
        InvalidArgumentError: when run, for what is no JPEG, PNG or WebP of one frame, and for all
            that is too large; nothing is decoded.
    """
    pixels = tf.reduce_sum(tf.map_fn(_pixels, data, fn_output_signature=tf.int64))
    message = f"the images of a request have {{}} pixels; at most {MAX_TOTAL} are allowed"
    with tf.control_dependencies([require(pixels <= MAX_TOTAL, message, pixels)]):
        return tf.identity(pixels)


def _pixels(data: tf.Tensor) -> tf.Tensor:
    is_jpeg = starts(data, jpeg.SIGNATURE)
    is_png = starts(data, png.SIGNATURE)
    known = is_jpeg | is_png | webp.is_webp(data)
    with tf.control_dependencies([require(known, "image_bytes hold no JPEG, PNG or WebP")]):
        sizes = tf.case(
            [
                (is_jpeg, lambda: tf.stack(jpeg.size(data))),
                (is_png, lambda: tf.stack(png.size(data))),
            ],
            default=lambda: tf.stack(webp.size(data)),
        )
    height, width = tf.unstack(sizes, num=2)
    # Divided, as the product of two sizes of 32 bits can be more than 63 bits.
    allowed = (height > 0) & (width > 0) & (height <= MAX_PIXELS // tf.maximum(width, 1))
    message = f"an image has {{}}x{{}} pixels; at most {MAX_PIXELS} are allowed"
    with tf.control_dependencies([require(allowed, message, width, height)]):
        return height * width
