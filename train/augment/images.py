"""Random changes to training images; stateless, so that a seed decides each of them.

A seed is an integer tensor [2]: the seed of the run, and the position of the example in the stream
of all epochs. An image comes as uint8 or float [height, width, channels] and leaves as
[size, size, channels] with pixels of 0..255; only a change of colour may exceed that range a
little. Normalization follows.
"""

import math
from collections.abc import Callable

import tensorflow as tf

from train.augment import policies

Augment = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # (image, seed) -> image

# Principal components of the colours of ImageNet, for RGB between 0 and 1 (Krizhevsky et al.,
# 2012, section 4.1; the values are those of fb.resnet.torch).
COLOUR_DEVIATIONS = (0.2175, 0.0188, 0.0045)
COLOUR_AXES = (
    (-0.5675, 0.7192, 0.4009),
    (-0.5808, -0.0045, -0.8140),
    (-0.5836, -0.6948, 0.4203),
)
JITTER = 0.4  # factors of brightness, contrast and saturation are within 1 - JITTER .. 1 + JITTER
# Random erasing, as in torchvision: share of the area, height over width, attempts per image.
AREAS = (0.02, 0.33)
RATIOS = (0.3, 3.3)
ATTEMPTS = 10


def sequence(cut: Augment, policy: Augment, colours: Augment) -> Augment:
    """Returns one augmentation of three: cut and mirror, then the policy, then the colours."""

    def augment(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        image = cut(image, seed)
        image = policy(image, _fold(seed, 6))
        return colours(image, seed)

    return augment


def cutting(name: str, size: int, fit: Callable[[tf.Tensor], tf.Tensor]) -> Augment:
    """Returns how images are cut and mirrored.

    Args:
        name: "none", "shift", "shift_flip", "random_resized_crop" or "scale_jitter".
        size: pixels per side of the result.
        fit: resizes an image to that size as evaluation does. Augmentations that do not choose a
            scale start from its result.
    """
    pixels = size // 8  # 4 pixels of 32 in the paper
    return {
        "none": lambda image, seed: fit(image),
        "shift": lambda image, seed: shift(fit(image), seed, pixels),
        "shift_flip": lambda image, seed: flip(shift(fit(image), seed, pixels), seed),
        "random_resized_crop": lambda image, seed: flip(resized_crop(image, seed, size), seed),
        "scale_jitter": lambda image, seed: flip(scale_jitter(image, seed, size), seed),
    }[name]


def colouring(name: str) -> Augment:
    """Returns how colours change: "none", "pca" or "jitter_pca"."""
    return {
        "none": lambda image, seed: image,
        "pca": lighting,
        "jitter_pca": lambda image, seed: lighting(jitter(image, seed), seed),
    }[name]


def flip(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Mirrors every second image, left to right."""
    return tf.image.stateless_random_flip_left_right(image, _fold(seed, 0))


def shift(image: tf.Tensor, seed: tf.Tensor, pixels: int) -> tf.Tensor:
    """Pads each side with so many zeros, then crops the old size at random."""
    shape = tf.shape(image)
    padded = tf.pad(image, [(pixels, pixels), (pixels, pixels), (0, 0)])
    return tf.image.stateless_random_crop(padded, shape, _fold(seed, 1))


def scale_jitter(image: tf.Tensor, seed: tf.Tensor, size: int) -> tf.Tensor:
    """Scales the shorter side to U[256, 480] pixels, then crops 224 (section 3.4 of the paper).

    Other sizes keep these proportions. The image is cropped first and then scaled, which gives the
    same pixels for less work.
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


def lighting(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Moves all pixels along the principal colours by N(0, 0.1) of their deviation.

    An image that does not have three channels is returned unchanged.
    """
    if image.shape[-1] != 3:
        return image
    alpha = tf.random.stateless_normal([3], _fold(seed, 5), stddev=0.1)
    shift = tf.linalg.matvec(COLOUR_AXES, alpha * COLOUR_DEVIATIONS)
    return tf.cast(image, tf.float32) + 255.0 * shift


def jitter(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Changes brightness, contrast and saturation, each by a factor of U[0.6, 1.4].

    As in fb.resnet.torch, datasets/transforms.lua. That code also draws the order of the three;
    nothing is clipped between them, so every order gives the same result. An image that does not
    have three channels has no saturation.
    """
    brightness, contrast, saturation = tf.unstack(
        tf.random.stateless_uniform([3], _fold(seed, 7), 1 - JITTER, 1 + JITTER)
    )
    image = tf.cast(image, tf.float32)
    grey = policies.luminance(image)
    mean = tf.reduce_mean(grey)
    return brightness * (mean + contrast * (grey - mean + saturation * (image - grey)))


def erase(image: tf.Tensor, seed: tf.Tensor, probability: float) -> tf.Tensor:
    """Fills a rectangle of a normalized image with 0, its mean (arXiv:1708.04896).

    The rectangle covers 2 % to 33 % of the image and is 0.3 to 3.3 times as high as wide. One that
    does not fit is drawn again, up to ten times; an image for which none fits stays whole.

    Args:
        image: float32 [height, width, channels], normalized.
        seed: as everywhere in this module.
        probability: share of images that lose a rectangle.
    """
    height, width = tf.unstack(tf.cast(tf.shape(image)[:2], tf.float32))
    logs = [math.log(ratio) for ratio in RATIOS]
    area = height * width * tf.random.stateless_uniform([ATTEMPTS], _fold(seed, 8), *AREAS)
    ratio = tf.exp(tf.random.stateless_uniform([ATTEMPTS], _fold(seed, 9), *logs))
    heights = tf.round(tf.sqrt(area * ratio))
    widths = tf.round(tf.sqrt(area / ratio))
    fits = (heights < height) & (widths < width)
    chosen = tf.argmax(fits)
    high = heights[chosen]
    wide = widths[chosen]
    place = tf.random.stateless_uniform([3], _fold(seed, 10))
    top = tf.floor(place[0] * (height - high + 1))
    left = tf.floor(place[1] * (width - wide + 1))
    inside = rectangle(image, top, left, top + high, left + wide)
    return tf.where(inside & fits[chosen] & (place[2] < probability), 0.0, image)


def rectangle(
    image: tf.Tensor, top: tf.Tensor, left: tf.Tensor, bottom: tf.Tensor, right: tf.Tensor
) -> tf.Tensor:
    """Returns which pixels of [..., height, width, channels] lie in a box: [..., height, width, 1].

    The four sides are in pixels and have the shape of `...`; bottom and right are the first row and
    column outside the box.
    """
    rows = tf.range(tf.shape(image)[-3])
    columns = tf.range(tf.shape(image)[-2])

    def between(places: tf.Tensor, low: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
        places = tf.cast(places, low.dtype)
        return (places >= low[..., tf.newaxis]) & (places < high[..., tf.newaxis])

    vertical = between(rows, top, bottom)
    horizontal = between(columns, left, right)
    return vertical[..., :, tf.newaxis, tf.newaxis] & horizontal[..., tf.newaxis, :, tf.newaxis]


def _resize(image: tf.Tensor, size: int) -> tf.Tensor:
    return tf.image.resize(image, [size, size], antialias=True)


def _fold(seed: tf.Tensor, number: int) -> tf.Tensor:
    """Returns the seed of one draw. Each draw has its own number; those of mixing start at 20."""
    return tf.random.experimental.stateless_fold_in(seed, number)
