"""WebP files: their size and their pixels."""

import tensorflow as tf

from keras_resnet.preprocessing.decoding.reading import integer, require, starts

__all__ = ["is_webp", "pixels", "size"]


def is_webp(data: tf.Tensor) -> tf.Tensor:
    """Whether a file begins as a WebP does."""
    return starts(data, b"RIFF") & starts(data, b"WEBP", place=8)


def size(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns height and width, int64, of a lossy, a lossless or an extended file.

    Raises:
        InvalidArgumentError: at run time, for an animation.
    """
    lossy, lossless = (starts(data, kind, place=12) for kind in (b"VP8 ", b"VP8L"))
    with tf.control_dependencies([_still(data)]):
        sides = integer(data, 26, 4, "little")  # 14 bits each, with two of scaling between
        bits = integer(data, 21, 4, "little")
        known = [(lossy, lambda: tf.stack([sides // 2**16 % 2**14, sides % 2**14]))]
        known += [(lossless, lambda: tf.stack([bits // 2**14 % 2**14, bits % 2**14]) + 1)]
        found = tf.case(
            known,
            default=lambda: tf.stack([integer(data, place, 3, "little") + 1 for place in (27, 24)]),
        )
    height, width = tf.unstack(found, num=2)
    return height, width


def _still(data: tf.Tensor) -> tf.Operation:
    """Requires a single frame: TensorFlow's decoder frees memory twice for animations."""
    canvas = ~(starts(data, b"VP8 ", place=12) | starts(data, b"VP8L", place=12))
    moves = integer(data, 20, 1, "little") // 2 % 2 == 1
    return require(~(canvas & moves), "a WebP is animated; one frame is allowed")


def pixels(data: tf.Tensor) -> tf.Tensor:
    """Decodes to RGB or RGBA, as the file has it; TensorFlow does not convert WebP.

    `decode_webp` is not used: TensorFlow 2.19 does not have it, and could not load the graph. In
    2.19 `decode_image` refuses WebP at run time; its name in the graph tells the reason.

    Raises:
        InvalidArgumentError: at run time, for an animation.
    """
    with tf.name_scope("WebP_needs_TensorFlow_2.20"), tf.control_dependencies([_still(data)]):
        data = tf.identity(data)  # after the check
        return tf.io.decode_image(data, channels=0, expand_animations=False)
