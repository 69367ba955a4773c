"""Images and their labels mixed pair by pair: mixup and cutmix, stateless.

Rows 2i and 2i + 1 of a batch are partners, and the seed of the first decides what happens to both.
Splitting a batch over replicas and workers changes nothing as long as each gets whole pairs.
"""

from collections.abc import Callable

import tensorflow as tf

from train.augment.images import rectangle

Batch = tuple[tf.Tensor, tf.Tensor, tf.Tensor]  # images, targets, weights
Mix = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor], Batch]


def pairwise(mixup: float, cutmix: float, classes: int) -> Mix:
    """Returns a function that mixes a batch: (images, labels, weights, seeds) -> Batch.

    Images are [n, height, width, channels] of any dtype with an even n, and leave as float32;
    labels are int64 [n], weights float32 [n], seeds int64 [n, 2] and targets float32 [n, classes].
    Each pair is mixed in one of the ways whose alpha is above 0, at even odds if that is both. A
    pair in which an image has a weight of 0, because it could not be read, is not mixed.

    Args:
        mixup: alpha of mixup; 0 for none.
        cutmix: alpha of cutmix; 0 for none.
        classes: number of classes.

    Raises:
        ValueError: when the function is called, for an odd number of images.
    """

    def mix(images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor, seeds: tf.Tensor) -> Batch:
        targets = tf.one_hot(labels, classes)
        if not mixup and not cutmix:
            return images, targets, weights
        if images.shape[0] is not None and images.shape[0] % 2:
            raise ValueError(f"images are mixed in pairs, and {images.shape[0]} is odd")
        readable = tf.reduce_all(tf.reshape(weights, [-1, 2]) > 0, 1)
        pairs = tf.TensorSpec([4], tf.float32)
        draws = tf.map_fn(
            lambda seed: draw(mixup, cutmix, seed), seeds[::2], fn_output_signature=pairs
        )
        images = tf.cast(images, tf.float32)
        kept = _kept(images, draws, readable)
        share = tf.reduce_mean(kept, [1, 2])
        return _blend(images, kept), _blend(targets, share), weights

    return mix


def _kept(images: tf.Tensor, draws: tf.Tensor, readable: tf.Tensor) -> tf.Tensor:
    """Returns the weight of each pixel against its partner's, [pairs, height, width, 1].

    Args:
        images: [2 pairs, height, width, channels].
        draws: [pairs, 4], as `draw` gives them.
        readable: whether both images of a pair can be used, [pairs].
    """
    cut, share, y, x = tf.unstack(draws, axis=1)
    height, width = tf.unstack(tf.cast(tf.shape(images)[1:3], tf.float32))
    inside = rectangle(images, *box(height, width, share, y, x))
    kept = tf.where(_per_image(cut > 0), 1.0 - tf.cast(inside, tf.float32), _per_image(share))
    return tf.where(_per_image(readable), kept, 1.0)


def _per_image(values: tf.Tensor) -> tf.Tensor:
    """Turns [pairs] into [pairs, 1, 1, 1]."""
    return values[:, tf.newaxis, tf.newaxis, tf.newaxis]


def draw(mixup: float, cutmix: float, seed: tf.Tensor) -> tf.Tensor:
    """Draws for one pair: 1 for cutmix, the share of its own image, and a centre y, x in 0..1.

    The share has the distribution Beta(alpha, alpha) (arXiv:1710.09412, arXiv:1905.04899): one of
    two draws of Gamma(alpha), over their sum. Both are float64, since small alphas give numbers of
    e-100.

    Returns:
        float32 [4].
    """
    odds = float(cutmix > 0) / (float(cutmix > 0) + float(mixup > 0))
    first, y, x = tf.unstack(tf.random.stateless_uniform([3], _fold(seed, 0)))
    cut = first < odds
    alpha = tf.where(cut, tf.constant(cutmix, tf.float64), mixup)
    one, other = tf.unstack(tf.random.stateless_gamma([2], _fold(seed, 1), alpha, dtype=tf.float64))
    share = tf.math.divide_no_nan(one, one + other)
    return tf.stack([tf.cast(cut, tf.float32), tf.cast(share, tf.float32), y, x])


def box(
    height: tf.Tensor, width: tf.Tensor, share: tf.Tensor, y: tf.Tensor, x: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns top, left, bottom and right, in pixels, of the box that the partner's image covers.

    The box has 1 - share of the area and the proportions of the image; what reaches beyond the
    image is cut off.

    Args:
        height: of the image, in pixels.
        width: of the image, in pixels.
        share: of its own image, in [0, 1].
        y: centre of the box, in 0..1 of the height.
        x: centre of the box, in 0..1 of the width.
    """
    side = tf.sqrt(1.0 - share)
    high = tf.floor(height * side)
    wide = tf.floor(width * side)
    top = tf.floor(y * height) - high // 2
    left = tf.floor(x * width) - wide // 2
    return (
        tf.maximum(0.0, top),
        tf.maximum(0.0, left),
        tf.minimum(height, top + high),
        tf.minimum(width, left + wide),
    )


def _blend(rows: tf.Tensor, kept: tf.Tensor) -> tf.Tensor:
    """Mixes each row with its partner, with the weights `kept` and 1 - kept.

    Weights of 0 and 1 change no bit.
    """
    pairs = tf.reshape(rows, tf.concat([[-1, 2], tf.shape(rows)[1:]], 0))
    kept = kept[:, tf.newaxis]
    mixed = kept * pairs + (1.0 - kept) * tf.reverse(pairs, [1])
    return tf.ensure_shape(tf.reshape(mixed, tf.shape(rows)), rows.shape)


def _fold(seed: tf.Tensor, number: int) -> tf.Tensor:
    return tf.random.experimental.stateless_fold_in(seed, 20 + number)
