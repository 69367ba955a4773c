"""Random changes to training images; stateless, so that a seed decides each of them.

An image comes as uint8 [height, width, channels] and leaves as [size, size, channels] with
pixels still between 0 and 255; preprocessing follows.
"""

from collections.abc import Callable

import tensorflow as tf

from keras_resnet.preprocessing import Preprocessing
from train.recipe import Recipe

Augment = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

# Principal components of the colours of ImageNet, for RGB between 0 and 1 (Krizhevsky et al.,
# 2012, section 4.1; the values are those of fb.resnet.torch).
COLOUR_DEVIATIONS = (0.2175, 0.0188, 0.0045)
COLOUR_AXES = (
    (-0.5675, 0.7192, 0.4009),
    (-0.5808, -0.0045, -0.8140),
    (-0.5836, -0.6948, 0.4203),
)


def build(recipe: Recipe, preprocessing: Preprocessing) -> Augment:
    """Returns the augmentation of a recipe: (image, seed [2]) -> image.

    Those that do not choose a scale start from the one that evaluation sees.
    """
    size, fit = recipe.image_size, preprocessing.resize
    return {
        "none": lambda image, seed: fit(image),
        "shift": lambda image, seed: shift(fit(image), seed, size // 8),
        "shift_flip": lambda image, seed: flip(shift(fit(image), seed, size // 8), seed),
        "random_resized_crop": lambda image, seed: flip(resized_crop(image, seed, size), seed),
        "scale_jitter": lambda image, seed: colour(
            flip(scale_jitter(image, seed, size), seed), seed
        ),
    }[recipe.augmentation]


def flip(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    return tf.image.stateless_random_flip_left_right(image, _fold(seed, 0))


def shift(image: tf.Tensor, seed: tf.Tensor, pixels: int) -> tf.Tensor:
    """Pads each side with zeros, then crops the old size: 4 pixels of 32 in the paper."""
    shape = tf.shape(image)
    padded = tf.pad(image, [(pixels, pixels), (pixels, pixels), (0, 0)])
    return tf.image.stateless_random_crop(padded, shape, _fold(seed, 1))


def scale_jitter(image: tf.Tensor, seed: tf.Tensor, size: int) -> tf.Tensor:
    """Scales the shorter side to U[256, 480] pixels, then crops 224 (section 3.4 of the paper).

    Other sizes keep the proportions. Cropping first and scaling what is left is the same.
    """
    jitter = tf.random.stateless_uniform([], _fold(seed, 2), 256 / 224, 480 / 224)
    shorter = tf.cast(tf.minimum(tf.shape(image)[0], tf.shape(image)[1]), tf.float32)
    side = tf.maximum(1, tf.cast(tf.round(shorter / jitter), tf.int32))
    crop = tf.image.stateless_random_crop(image, [side, side, image.shape[-1]], _fold(seed, 3))
    return _resize(crop, size)


def resized_crop(image: tf.Tensor, seed: tf.Tensor, size: int) -> tf.Tensor:
    """Crops 8 % to 100 % of the area at an aspect ratio of 3/4 to 4/3 (Szegedy et al., 2014)."""
    begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.shape(image),
        tf.zeros([1, 0, 4]),
        _fold(seed, 4),
        min_object_covered=0.0,
        aspect_ratio_range=(3 / 4, 4 / 3),
        area_range=(0.08, 1.0),
        max_attempts=10,
        use_image_if_no_bounding_boxes=True,
    )
    extent = tf.concat([extent[:2], [image.shape[-1]]], 0)
    return _resize(tf.slice(image, begin, extent), size)


def colour(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Moves all pixels along the principal colours by N(0, 0.1) of their deviation.

    An image of other than three channels has no such colours and stays as it is.
    """
    if image.shape[-1] != 3:
        return image
    alpha = tf.random.stateless_normal([3], _fold(seed, 5), stddev=0.1)
    shift = tf.linalg.matvec(COLOUR_AXES, alpha * COLOUR_DEVIATIONS)
    return tf.cast(image, tf.float32) + 255.0 * shift


def _resize(image: tf.Tensor, size: int) -> tf.Tensor:
    return tf.image.resize(image, [size, size], antialias=True)


def _fold(seed: tf.Tensor, number: int) -> tf.Tensor:
    return tf.random.experimental.stateless_fold_in(seed, number)
