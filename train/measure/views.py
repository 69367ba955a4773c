"""What a protocol sees of an image, as views of the decoder."""

from dataclasses import replace

import numpy as np
import tensorflow as tf

from keras_resnet.preprocessing import Preprocessing
from keras_resnet.preprocessing.views import Look, View


def five_crops(preprocess: Preprocessing) -> Look:
    """Returns what sees the four corners and the centre of an image, in this order.

    The image is scaled as for the central crop: its shorter side is 256 pixels for crops of 224 and
    crop=0.875. The corners are those of the whole image, as in fb.resnet.torch and torchvision;
    AlexNet took those of the central square.

    Returns:
        A view whose result is float32 [..., 5, *size, channels] of 0..255.

    Raises:
        ValueError: if the crops of a square image would be equal.
    """
    if preprocess.crop == 1:
        raise ValueError(
            "protocol=ten_crop needs crops smaller than the scaled image, and these weights use all"
            " of it (crop=1): give --crop=0.875, or use protocol=one_crop"
        )

    def finish(images: tf.Tensor) -> tf.Tensor:
        scaled = preprocess.scaled(images)
        size = np.array(preprocess.size)
        last = tf.shape(scaled)[-3:-1] - size
        bottom, right = tf.unstack(last)
        # Halves to even, as torchvision.
        middle = tf.cast(tf.round(tf.cast(last, tf.float32) / 2), tf.int32)
        corners = [(0, 0), (0, right), (bottom, 0), (bottom, right), tf.unstack(middle)]
        crops = [
            scaled[..., top : top + size[0], left : left + size[1], :] for top, left in corners
        ]
        return tf.ensure_shape(
            tf.stack(crops, -4), [*images.shape[:-3], 5, *size, images.shape[-1]]
        )

    return lambda _size: View(None, finish)


def at_scale(preprocess: Preprocessing, side: int) -> Look:
    """Returns what sees a whole image with a shorter side of so many pixels.

    Returns:
        A view whose result is float32 [..., height, width, channels] of 0..255.

    Raises:
        ValueError: if mean or std are images, which fit one size only.
    """
    if max(np.ndim(preprocess.mean), np.ndim(preprocess.std)) == 3:
        height, width = preprocess.size
        raise ValueError(
            "protocol=multi_scale needs a mean colour, and these weights subtract a mean image of"
            f" {height}x{width} pixels: use another protocol, or give --mean and --std"
        )
    whole = replace(preprocess, image_size=side, crop=1.0)
    return lambda _size: View(None, whole.scaled)
