"""Resizes images to cover a size, and crops the centre; on every backend."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from keras_resnet.preprocessing.views import View, whole

__all__ = ["METHODS", "Interpolation", "resize", "scaled", "view"]

Interpolation = Literal["bilinear", "bicubic"]
METHODS = {"bilinear": "linear", "bicubic": "cubic"}  # names of Keras
KERNELS = {"bilinear": "triangle", "bicubic": "keyscubic"}  # names of TensorFlow
SUPPORT = {"bilinear": 1, "bicubic": 2}  # radius of the kernels, in pixels of the smaller image
# Pixels around a window: a decoder interpolates colours, which are stored at half the resolution,
# from those that it decodes.
CONTEXT = 2


def resize(images: Any, size: tuple[int, int], crop: float, interpolation: Interpolation) -> Any:
    """Scales images to cover height / crop and width / crop pixels, and crops the centre.

    Args:
        images: [height, width, channels] or [batch, height, width, channels] of 0..255.
        size: height and width of the result.
        crop: fraction of the scaled image that is kept, along the side that fits exactly.
        interpolation: with antialiasing if an image becomes smaller.

    Returns:
        float32 [..., *size, channels] of 0..255.

    Raises:
        ValueError: for another rank.
    """
    if _rank(images) not in (3, 4):
        raise ValueError(
            "images must be [height, width, channels] or [batch, height, width, channels],"
            f" got {tuple(images.shape)}"
        )
    if tuple(images.shape[-3:-1]) == size and crop == 1:
        return ops.cast(images, "float32")
    scale, corner = _placement(ops.stack(ops.shape(images)[-3:-1]), size, crop)
    return _resample(images, size, scale, corner, interpolation)


def view(old: Any, size: tuple[int, int], crop: float, interpolation: Interpolation) -> View:
    """Returns what `resize` needs of an image, in graphs of TensorFlow.

    Args:
        old: height and width of the image, integers [2].
        size: as that of `resize`.
        crop: as that of `resize`.
        interpolation: as that of `resize`.

    Returns:
        a view that finishes like `resize`, except for rounding: places are relative to the window.
        An image that has the size already stays as it is.
    """
    import tensorflow as tf

    static = tf.get_static_value(old)
    if static is not None and tuple(static) == size and crop == 1:
        return whole(old)
    scale, corner = _placement(old, size, crop)
    reach = SUPPORT[interpolation] * ops.maximum(1.0, 1 / scale) + CONTEXT
    first = ops.maximum(ops.floor(-corner / scale - reach), 0.0)
    last = ops.ceil((np.array(size, np.float32) - corner) / scale + reach)
    last = ops.minimum(last, ops.cast(old, "float32"))
    window = ops.cast(ops.concatenate([first, last - first]), "int32")
    moved = corner + first * scale
    return View(window, lambda image: _resample(image, size, scale, moved, interpolation))


def scaled(images: Any, size: tuple[int, int], crop: float, interpolation: Interpolation) -> Any:
    """Scales images as `resize` does, and crops nothing; in functions of TensorFlow.

    Args:
        images: [height, width, channels] or [batch, height, width, channels] of 0..255.
        size: as that of `resize`.
        crop: as that of `resize`.
        interpolation: as that of `resize`.

    Returns:
        float32 [..., height, width, channels] of 0..255, at least `size` / `crop` pixels, rounded
        down, of which one side has exactly so many.
    """
    old = ops.cast(ops.stack(ops.shape(images)[-3:-1]), "float32")
    new = _covering(old, size, crop)
    whole = ops.unstack(ops.cast(new, "int32"))
    return _resample(images, whole, new / old, ops.zeros(2), interpolation)


def _placement(old: Any, size: tuple[int, int], crop: float) -> tuple[Any, Any]:
    """Returns the scale, and the place of the scaled image relative to the crop, float32 [2]."""
    old = ops.cast(old, "float32")
    new = _covering(old, size, crop)
    middle = (new - ops.convert_to_tensor(size, dtype="float32")) / 2
    return new / old, -ops.round(middle)  # halves to even, as torchvision


def _covering(old: Any, size: tuple[int, int], crop: float) -> Any:
    """Returns height and width of the scaled image, float32 [2], from those of the image."""
    rows, columns = (math.floor(side / crop) for side in size)
    # The side with the larger factor decides; for a square that is the shorter side.
    upright = rows / old[0] >= columns / old[1]
    factor = ops.where(upright, float(rows), float(columns))
    return ops.floor(old * factor / ops.where(upright, old[0], old[1]))


def _rank(images: Any) -> int | None:
    return images.shape.rank if hasattr(images.shape, "rank") else len(images.shape)


def _resample(
    images: Any, size: Sequence[Any], scale: Any, translation: Any, interpolation: Interpolation
) -> Any:
    """Maps [..., height, width, channels] to float32 [..., *size, channels].

    Only the crop is resampled. `keras.ops.image.resize` does not accept a size that a graph
    computes.
    """
    batch = list(ops.shape(images)[:-3])
    images = ops.reshape(images, (-1, *ops.shape(images)[-3:]))
    images = _scale_and_translate(images, size, scale, translation, interpolation)
    if interpolation == "bicubic":
        images = ops.clip(images, 0, 255)  # bicubic interpolation overshoots at edges
    return ops.reshape(images, (*batch, *size, images.shape[-1]))


def _scale_and_translate(
    images: Any, size: Sequence[Any], scale: Any, translation: Any, interpolation: Interpolation
) -> Any:
    """Maps [batch, height, width, channels] to float32 [batch, *size, channels]."""
    if keras.backend.backend() == "tensorflow" and not _xla():
        import tensorflow as tf  # deferred: the library also runs where TensorFlow is absent

        # The same result as the operation of Keras in a fifth of the time: that converts the whole
        # image to float32, and multiplies by matrices of its size.
        return tf.raw_ops.ScaleAndTranslate(
            images=images,
            size=list(size),
            scale=scale,
            translation=translation,
            kernel_type=KERNELS[interpolation],
            antialias=True,
        )
    return ops.image.scale_and_translate(
        ops.cast(images, "float32"),
        (images.shape[0], *size, images.shape[-1]),
        scale=scale,
        translation=translation,
        spatial_dims=(1, 2),
        method=METHODS[interpolation],
        antialias=True,
    )


def _xla() -> bool:
    """Whether a function is being traced for XLA, which does not support ScaleAndTranslate."""
    import tensorflow as tf
    from tensorflow.python.ops import control_flow_util  # there is no public function for it

    if tf.executing_eagerly():
        return False
    return control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())
