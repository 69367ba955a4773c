"""Scales images until they cover a size, and keeps the middle; on every backend."""

import math
from typing import Any, Literal

import keras
from keras import ops

Interpolation = Literal["bilinear", "bicubic"]
METHODS = {"bilinear": "linear", "bicubic": "cubic"}  # in the words of Keras
KERNELS = {"bilinear": "triangle", "bicubic": "keyscubic"}  # and of TensorFlow


def resize(images: Any, size: tuple[int, int], crop: float, interpolation: Interpolation) -> Any:
    """Scales images to cover height / crop and width / crop pixels, and crops the middle.

    Args:
        images: [height, width, channels] or [batch, height, width, channels], of 0..255.
        size: height and width of what is kept.
        crop: share of the scaled image that is kept, along the side that fits exactly.
        interpolation: with antialiasing where an image becomes smaller.

    Returns:
        float32 [..., *size, channels] of 0..255.
    """
    if _rank(images) not in (3, 4):
        raise ValueError(
            "images must be [height, width, channels] or [batch, height, width, channels],"
            f" got {tuple(images.shape)}"
        )
    batch = list(ops.shape(images)[:-3])
    if tuple(images.shape[-3:-1]) == size and crop == 1:
        return ops.cast(images, "float32")
    old = ops.cast(ops.stack(ops.shape(images)[-3:-1]), "float32")
    rows, columns = (math.floor(side / crop) for side in size)
    # The side that needs the larger factor decides; for a square that is the shorter one.
    upright = rows / old[0] >= columns / old[1]
    new = ops.floor(
        old * ops.where(upright, float(rows), float(columns)) / ops.where(upright, old[0], old[1])
    )
    # One resampling of the crop alone, as `keras.ops.image.resize` takes no size that a graph
    # computes.
    images = ops.reshape(images, (-1, *ops.shape(images)[-3:]))
    middle = (new - ops.convert_to_tensor(size, dtype="float32")) / 2
    corner = -ops.round(middle)  # halves to even, as torchvision
    images = _resample(images, size, new / old, corner, interpolation)
    if interpolation == "bicubic":
        images = ops.clip(images, 0, 255)  # it overshoots at edges, and pixels cannot
    return ops.reshape(images, (*batch, *size, images.shape[-1]))


def _rank(images: Any) -> int | None:
    return images.shape.rank if hasattr(images.shape, "rank") else len(images.shape)


def _resample(
    images: Any, size: tuple[int, int], scale: Any, translation: Any, interpolation: Interpolation
) -> Any:
    """Maps [batch, height, width, channels] to float32 [batch, *size, channels]."""
    if keras.backend.backend() == "tensorflow" and not _xla():
        import tensorflow as tf  # deferred: the library also runs where TensorFlow is absent

        # The same numbers as the operation of Keras, which makes float32 of a whole photograph and
        # of matrices as large, in a fifth of the time.
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
    """Whether a function is being traced that XLA compiles; it has no kernel for the fast way."""
    import tensorflow as tf
    from tensorflow.python.ops import control_flow_util  # no public name says it

    if tf.executing_eagerly():
        return False
    return control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())
