"""Converts the channels of a file to those of a network, as Pillow does."""

import tensorflow as tf

__all__ = ["CHANNELS", "convert"]

CHANNELS = (1, 3, 4)  # that images in files can have
# ITU-R 601, times 2^16; the integers of Pillow.
RED, GREEN, BLUE = 19595, 38470, 7471


def convert(image: tf.Tensor, channels: int) -> tf.Tensor:
    """Converts a uint8 image of 3 or 4 channels to 1, 3 or 4; drops alpha, or adds opaque alpha."""
    if channels == 1:
        return _grey(image)
    if channels == 3:
        return image[..., :3]
    opaque = tf.fill(tf.concat([tf.shape(image)[:2], [1]], 0), tf.constant(255, tf.uint8))
    return tf.concat([image, opaque], -1)[..., :4]


def _grey(image: tf.Tensor) -> tf.Tensor:
    # Channel by channel: all at once would need three times the memory.
    total = tf.cast(image[..., :1], tf.int32) * RED
    total += tf.cast(image[..., 1:2], tf.int32) * GREEN
    total += tf.cast(image[..., 2:3], tf.int32) * BLUE
    return tf.cast((total + 2**15) // 2**16, tf.uint8)
