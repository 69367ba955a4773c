"""Random changes to training images; stateless, so that a seed decides each of them.

A seed is an integer tensor [2]: the seed of the run, and the position of the example in the stream
of all epochs. Images keep their scale of 0..255; only a change of colour may exceed that range a
little. As long as nothing else is needed they are uint8.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from keras_resnet.preprocessing.views import Look, View
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


@dataclass(frozen=True)
class Cutting:
    """How training images are cut, scaled and mirrored.

    Attributes:
        scaled: (seed) -> what is seen of an image, at the size of the network.
        shift: so many zeros are padded to each side, of which the old size is cropped at random.
        flip: whether every second image is mirrored, left to right.
    """

    scaled: Callable[[tf.Tensor], Look]
    shift: int = 0
    flip: bool = False

    def look(self, seed: tf.Tensor) -> Look:
        """Returns what is seen of one image: [size, size, channels], cut, scaled and mirrored."""

        def look(size: tf.Tensor) -> View:
            view = self.scaled(seed)(size)
            return replace(view, finish=lambda image: self._moved(view.finish(image), seed))

        return look

    def draw(self, seed: tf.Tensor) -> tf.Tensor:
        """Draws for one image: rows and columns to skip after padding, and whether to mirror."""
        draws = tf.zeros([2], tf.int32)
        if self.shift:
            draws = _places([3], _fold(seed, 1))[:2] % (2 * self.shift + 1)
        mirrored = tf.constant(False)
        if self.flip:
            mirrored = tf.random.stateless_uniform([], _fold(seed, 0)) < 0.5
        return tf.concat([draws, [tf.cast(mirrored, tf.int32)]], 0)

    def move(self, images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """Shifts and mirrors many images at once, by the draws of each.

        Args:
            images: [n, height, width, channels].
            draws: int32 [n, 3], as `draw` gives them.
        """
        count, height, width, channels = tf.unstack(tf.shape(images))
        pad = (self.shift, self.shift)
        padded = tf.pad(images, [(0, 0), pad, pad, (0, 0)])
        top, left, mirrored = tf.unstack(draws[:, :, tf.newaxis], axis=1)
        columns = tf.range(width)
        rows = top + tf.range(height)
        columns = left + tf.where(mirrored > 0, width - 1 - columns, columns)
        first = tf.range(count)[:, tf.newaxis] * (height + 2 * self.shift) + rows
        places = first[:, :, tf.newaxis] * (width + 2 * self.shift) + columns[:, tf.newaxis]
        moved = tf.gather(tf.reshape(padded, [-1, channels]), places)
        return tf.ensure_shape(moved, images.shape)

    def _moved(self, image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Does the same to one image; large ones are copied faster by slices."""
        top, left, mirrored = tf.unstack(self.draw(seed))
        shape = image.shape
        if self.shift:
            pad = (self.shift, self.shift)
            height, width, _ = tf.unstack(tf.shape(image))
            padded = tf.pad(image, [pad, pad, (0, 0)])
            image = padded[top : top + height, left : left + width]
        if self.flip:
            image = tf.cond(mirrored > 0, lambda: tf.reverse(image, [1]), lambda: image)
        return tf.ensure_shape(image, shape)


def cutting(name: str, size: int, fit: Look) -> Cutting:
    """Returns how images are cut, scaled and mirrored.

    Args:
        name: "none", "shift", "shift_flip", "random_resized_crop" or "scale_jitter".
        size: pixels per side of the result.
        fit: what evaluation sees of an image, at that size. Augmentations that do not choose a
            scale start from it.
    """
    pixels = size // 8  # 4 pixels of 32 in the paper
    return {
        "none": Cutting(lambda seed: fit),
        "shift": Cutting(lambda seed: fit, pixels),
        "shift_flip": Cutting(lambda seed: fit, pixels, flip=True),
        "random_resized_crop": Cutting(lambda seed: partial(resized_crop, seed, size), flip=True),
        "scale_jitter": Cutting(lambda seed: partial(scale_jitter, seed, size), flip=True),
    }[name]


def change(policy: str, magnitude: float, colour: str) -> Augment | None:
    """Returns how an image changes that is cut already: by a policy, then in colours; or None."""
    if policy == colour == "none":
        return None
    perform = policies.policy(policy, magnitude)
    colours = colouring(colour)

    def augment(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return colours(perform(image, _fold(seed, 6)), seed)

    return augment


def colouring(name: str) -> Augment:
    """Returns how colours change: "none", "pca" or "jitter_pca"."""
    return {
        "none": lambda image, seed: image,
        "pca": lighting,
        "jitter_pca": lambda image, seed: lighting(jitter(image, seed), seed),
    }[name]


def scale_jitter(seed: tf.Tensor, size: int, old: tf.Tensor) -> View:
    """Scales the shorter side to U[256, 480] pixels, then crops 224 (section 3.4 of the paper).

    Other sizes keep these proportions. The image is cropped first and then scaled, which gives the
    same pixels for less work.
    """
    jitter = tf.random.stateless_uniform([], _fold(seed, 2), 256 / 224, 480 / 224)
    shorter = tf.cast(tf.reduce_min(old), tf.float32)
    side = tf.maximum(1, tf.cast(tf.round(shorter / jitter), tf.int32))
    corner = _places([3], _fold(seed, 3))[:2] % (old - side + 1)
    return _resized(tf.concat([corner, [side, side]], 0), size)


def resized_crop(seed: tf.Tensor, size: int, old: tf.Tensor) -> View:
    """Crops 8 % to 100 % of the area at an aspect ratio of 3/4 to 4/3 (Szegedy et al., 2014)."""
    begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.concat([old, [3]], 0),
        tf.zeros([1, 0, 4]),
        _fold(seed, 4),
        min_object_covered=0.0,
        aspect_ratio_range=(3 / 4, 4 / 3),
        area_range=(0.08, 1.0),
        max_attempts=10,
        use_image_if_no_bounding_boxes=True,
    )
    return _resized(tf.concat([begin[:2], extent[:2]], 0), size)


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


def erase(
    image: tf.Tensor, seed: tf.Tensor, probability: float, fill: np.ndarray[Any, Any]
) -> tf.Tensor:
    """Fills a rectangle of an image with the mean of all images (arXiv:1708.04896).

    The rectangle covers 2 % to 33 % of the image and is 0.3 to 3.3 times as high as wide. One that
    does not fit is drawn again, up to ten times; an image for which none fits stays whole.

    Args:
        image: [height, width, channels] of 0..255.
        seed: as everywhere in this module.
        probability: share of images that lose a rectangle.
        fill: the mean that normalization subtracts, in the order of the image's channels.

    Returns:
        float32 of the same shape.
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
    image = tf.cast(image, tf.float32)
    return tf.where(inside & fits[chosen] & (place[2] < probability), fill, image)


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


def _resized(window: tf.Tensor, size: int) -> View:
    """Scales a window, int32 [4], to a square, uint8.

    A pixel is the mean of those that it covers, or interpolated where the window is smaller than
    the square. That differs from the antialiased filter of PIL and of evaluation by one level of
    255 on average, and costs a third of it.
    """

    def finish(image: tf.Tensor) -> tf.Tensor:
        image = tf.cast(image, tf.float32)  # of which TensorFlow resizes more per second
        shrinks = tf.reduce_min(tf.shape(image)[:2]) >= size
        scaled = tf.cond(
            shrinks,
            lambda: tf.image.resize(image, [size, size], "area"),
            lambda: tf.image.resize(image, [size, size], "bilinear"),
        )
        return tf.cast(tf.round(scaled), tf.uint8)

    return View(window, finish, least=size)


def _places(shape: list[int], seed: tf.Tensor) -> tf.Tensor:
    """Draws large integers, whose remainders are places, as `tf.image.stateless_random_crop`."""
    return tf.random.stateless_uniform(shape, seed, 0, tf.int32.max, tf.int32)


def _fold(seed: tf.Tensor, number: int) -> tf.Tensor:
    """Returns the seed of one draw. Each draw has its own number; those of mixing start at 20."""
    return tf.random.experimental.stateless_fold_in(seed, number)
