"""Images of TensorFlow Datasets, whose own decoder uses the inexact default for JPEGs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_resnet.decoding.colours import CHANNELS
from keras_resnet.decoding.files import decode


def decoder(feature: Any) -> tuple[dict[str, Any] | None, Callable[[Any], tf.Tensor]]:
    """Returns how TFDS has to be told to leave "image" alone, and what makes pixels of it.

    What is no uint8 image of 1, 3 or 4 channels stays with TFDS.

    Args:
        feature: the feature "image" of a data set.

    Returns:
        the argument `decoders` of TFDS, and a function from what it then gives to pixels.
    """
    import tensorflow_datasets as tfds

    is_image = isinstance(feature, tfds.features.Image) and feature.np_dtype == np.uint8
    if not is_image or feature.shape[-1] not in CHANNELS:
        return None, tf.identity

    def pixels(data: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(decode(data, feature.shape[-1]), feature.shape)

    return {"image": tfds.decode.SkipDecoding()}, pixels
