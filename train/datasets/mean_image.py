"""The mean image of a training split."""

from typing import Any

import numpy as np
import tensorflow as tf

from keras_resnet.console import progress
from keras_resnet.preprocessing import Preprocessing
from train.datasets.decoding import Broken, watched, whole
from train.datasets.examples import Examples

IN_FLIGHT_BYTES = 1 << 26  # size of the resized images that are summed at a time


@tf.autograph.experimental.do_not_convert
def mean_image(
    examples: Examples, preprocess: Preprocessing, broken: Broken | None = None
) -> np.ndarray[Any, Any]:
    """Returns the mean of all resized examples, float64 [*size, channels] of 0..255.

    Args:
        examples: the training split.
        preprocess: resizes images.
        broken: notes the examples that cannot be decoded, which are left out.

    Raises:
        ValueError: if no example can be decoded.
        TooManyBroken: if more examples cannot be decoded than `broken` allows.
    """
    images = whole(examples, preprocess.view, broken).map(lambda image, _: image)
    total = np.zeros([*preprocess.size, examples.channels])
    count = 0
    at_once = max(1, min(256, IN_FLIGHT_BYTES // (4 * total.size)))
    with progress.shown("computing the mean image", examples.size, "images") as work:
        for batch in watched(images.batch(at_once), broken):
            total += tf.reduce_sum(tf.cast(batch, tf.float64), 0).numpy()
            count += len(batch)
            work.advance(len(batch))
    if broken:
        broken.check()  # if no image can be decoded, there was no batch to check after
    if not count:
        raise ValueError("none of the images to train on can be decoded")
    return total / count
