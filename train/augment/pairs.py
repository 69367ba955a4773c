"""Images mixed pair by pair, and their labels with them: mixup and cutmix, stateless.

Rows 2i and 2i + 1 of a batch are partners, and the seed of the first decides all of the two: how
a batch is split over replicas and workers changes nothing, if each gets whole pairs.
"""

from collections.abc import Callable

import tensorflow as tf

from train.augment.images import rectangle
from train.recipes.recipe import Recipe

Mix = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def build(recipe: Recipe, classes: int) -> Mix:
    """Returns what mixes a batch: (images, labels, seeds) -> (images, targets).

    Images are float32 [n, height, width, channels] with an even n, labels int64 [n], seeds int64
    [n, 2] and targets float32 [n, classes]. Where mixup and cutmix are both asked for, each pair
    takes one of them at even odds. A label of -1 stands for an image that could not be read: its
    targets are zeros, and it is mixed with nothing.
    """

    def mix(images: tf.Tensor, labels: tf.Tensor, seeds: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        targets = tf.one_hot(labels, classes)
        if not recipe.mixup and not recipe.cutmix:
            return images, targets
        if images.shape[0] is not None and images.shape[0] % 2:
            raise ValueError(f"images are mixed in pairs, and {images.shape[0]} is odd")
        readable = tf.reduce_all(tf.reshape(labels, [-1, 2]) >= 0, 1)
        kept = _kept(recipe, images, seeds[::2], readable)
        share = tf.reduce_mean(kept, [1, 2])
        return _blend(images, kept), _blend(targets, share)

    return mix


def _kept(recipe: Recipe, images: tf.Tensor, seeds: tf.Tensor, readable: tf.Tensor) -> tf.Tensor:
    """Returns the weight of each pixel against that of the partner, [pairs, height, width, 1]."""
    pairs = tf.TensorSpec([4], tf.float32)
    draws = tf.map_fn(lambda seed: draw(recipe, seed), seeds, fn_output_signature=pairs)
    cut, share, *centre = tf.unstack(draws, axis=1)
    height, width = tf.unstack(tf.cast(tf.shape(images)[1:3], tf.float32))
    inside = rectangle(images, *box(height, width, share, *centre))
    share = share[:, tf.newaxis, tf.newaxis, tf.newaxis]
    cut, readable = (x[:, tf.newaxis, tf.newaxis, tf.newaxis] for x in (cut > 0, readable))
    kept = tf.where(cut, 1.0 - tf.cast(inside, tf.float32), share)
    return tf.where(readable, kept, 1.0)


def draw(recipe: Recipe, seed: tf.Tensor) -> tf.Tensor:
    """Draws for one pair [4]: 1 for cutmix, the share of its own image, and a centre in 0..1.

    The share is of Beta(alpha, alpha) (arXiv:1710.09412, arXiv:1905.04899): that of one of two
    draws of Gamma(alpha) in their sum, in float64 since small alphas give numbers of e-100.
    """
    odds = float(recipe.cutmix > 0) / (float(recipe.cutmix > 0) + float(recipe.mixup > 0))
    first, *centre = tf.unstack(tf.random.stateless_uniform([3], _fold(seed, 0)))
    cut = first < odds
    alpha = tf.where(cut, tf.constant(recipe.cutmix, tf.float64), recipe.mixup)
    one, other = tf.unstack(tf.random.stateless_gamma([2], _fold(seed, 1), alpha, dtype=tf.float64))
    share = tf.math.divide_no_nan(one, one + other)
    return tf.stack([tf.cast(cut, tf.float32), tf.cast(share, tf.float32), *centre])


def box(
    height: tf.Tensor, width: tf.Tensor, share: tf.Tensor, y: tf.Tensor, x: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns top, left, bottom and right, in pixels, of what the partner's image covers.

    It has 1 - share of the area and the proportions of the image; what reaches beyond the image
    is cut off. The centre is that of 0..1.
    """
    high, wide = (tf.floor(side * tf.sqrt(1.0 - share)) for side in (height, width))
    y, x = tf.floor(y * height), tf.floor(x * width)
    top, left = y - high // 2, x - wide // 2
    return (
        tf.maximum(0.0, top),
        tf.maximum(0.0, left),
        tf.minimum(height, top + high),
        tf.minimum(width, left + wide),
    )


def _blend(rows: tf.Tensor, kept: tf.Tensor) -> tf.Tensor:
    """Gives each row the weight `kept` in itself, and the rest to its partner.

    Weights of 0 and 1 change no bit.
    """
    pairs = tf.reshape(rows, tf.concat([[-1, 2], tf.shape(rows)[1:]], 0))
    kept = kept[:, tf.newaxis]
    mixed = kept * pairs + (1.0 - kept) * tf.reverse(pairs, [1])
    return tf.ensure_shape(tf.reshape(mixed, tf.shape(rows)), rows.shape)


def _fold(seed: tf.Tensor, number: int) -> tf.Tensor:
    return tf.random.experimental.stateless_fold_in(seed, 20 + number)
