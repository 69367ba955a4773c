"""Moving statistics, where replicas have one set each and a network has one.

They are averaged before a network is saved or measured; a recipe may have them synchronized at
every step, or taken anew after training, as the authors of the paper did ("precise BN").
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_resnet.rewrite.int8 import FakeQuantize


def layers(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """Returns the normalizations that learn; those of frozen parts keep what they have."""
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    return [layer for layer in norms if layer.trainable]


def moments(model: keras.Model) -> list[keras.Variable]:
    """Returns mean and variance of each of these, in turn."""
    return [w for layer in layers(model) for w in (layer.moving_mean, layer.moving_variance)]


def moving(model: keras.Model) -> list[keras.Variable]:
    """Returns all that moves with what a replica sees: these, and the ranges of roundings."""
    return moments(model) + [x.range for x in model.layers if isinstance(x, FakeQuantize)]


def synchronize(model: keras.Model, together: bool) -> None:
    """Makes training normalize by the moments of all replicas' images, or of each one's own."""
    for layer in layers(model):
        layer.synchronized = together


def average(
    strategy: tf.distribute.Strategy, variables: list[keras.Variable]
) -> Callable[[], None]:
    """Returns what gives all replicas the mean of what each of them has in these variables."""

    def replica() -> None:
        # A copy, since a variable's own value is on no device that several workers could name.
        values: list[Any] = [tf.identity(tf.convert_to_tensor(v)) for v in variables]
        means = tf.distribute.get_replica_context().all_reduce("MEAN", values)
        for variable, mean in zip(variables, means, strict=True):
            variable.assign(mean)

    @tf.function
    def together() -> None:
        if variables and strategy.num_replicas_in_sync > 1:
            strategy.run(replica)

    return together


def precise(
    strategy: tf.distribute.Strategy, model: keras.Model, batches: Iterable[Any], count: int
) -> None:
    """Sets the statistics to those of all activations in so many batches, not of a moving average.

    Each layer sees what the layers before it make of a batch of training. A variance is that of
    all of them together: the mean of squares less the square of the mean.
    """
    found = moments(model)
    with strategy.scope():
        # In float64, as a square less a square loses digits where a mean is large.
        sums = [keras.Variable(np.zeros(v.shape), dtype="float64") for v in found]

    def replica(images: tf.Tensor) -> None:
        model(images, training=True)  # at momentum 0, which leaves the batch's own moments
        for i in range(0, len(found), 2):
            mean, variance = (tf.cast(v.value, tf.float64) for v in found[i : i + 2])
            sums[i].assign_add(mean / count)
            sums[i + 1].assign_add((variance + mean**2) / count)

    step = tf.function(lambda images: strategy.run(replica, (images,)))
    with _momentum(model, 0.0):
        for _, (images, *_) in zip(range(count), batches, strict=False):
            step(images)
    average(strategy, sums)()
    for i in range(0, len(found), 2):
        mean, square = (tf.convert_to_tensor(v.value) for v in sums[i : i + 2])
        found[i].assign(tf.cast(mean, tf.float32))
        found[i + 1].assign(tf.cast(tf.maximum(square - mean**2, 0.0), tf.float32))


@contextmanager
def _momentum(model: keras.Model, momentum: float) -> Iterator[None]:
    """Has every normalization keep this share of its old statistics."""
    usual = [layer.momentum for layer in layers(model)]
    for layer in layers(model):
        layer.momentum = momentum
    try:
        yield
    finally:
        for layer, old in zip(layers(model), usual, strict=True):
            layer.momentum = old
