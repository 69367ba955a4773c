"""From the channels that a file has to those that a network takes, as Pillow converts them."""

import tensorflow as tf

CHANNELS = (1, 3, 4)  # that images in files can have
# ITU-R 601, of 2^16; with these integers Pillow rounds.
RED, GREEN, BLUE = 19595, 38470, 7471


def convert(image: tf.Tensor, channels: int) -> tf.Tensor:
    """Makes a uint8 image of 3 or 4 channels one of 1, 3 or 4; drops alpha, or adds 255."""
    if channels == 1:
        return _grey(image)
    if channels == 3:
        return image[..., :3]
    opaque = tf.fill(tf.concat([tf.shape(image)[:2], [1]], 0), tf.constant(255, tf.uint8))
    return tf.concat([image, opaque], -1)[..., :4]


def _grey(image: tf.Tensor) -> tf.Tensor:
    # One channel after the other: all at a time would take three times the memory.
    total = tf.cast(image[..., :1], tf.int32) * RED
    total += tf.cast(image[..., 1:2], tf.int32) * GREEN
    total += tf.cast(image[..., 2:3], tf.int32) * BLUE
    return tf.cast((total + 2**15) // 2**16, tf.uint8)
