"""Moving statistics of batch normalization, of which each replica has its own set.

They are averaged before a network is saved or measured. They can also be synchronized at every
step, or computed again after training, as the authors of the paper did ("precise BN").
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_resnet.rewrite.int8 import FakeQuantize


def layers(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """Returns the normalizations that learn; those of frozen parts keep their statistics."""
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    return [layer for layer in norms if layer.trainable]


def moments(model: keras.Model) -> list[keras.Variable]:
    """Returns the moving mean and variance of each of `layers`, in turn."""
    return [w for layer in layers(model) for w in (layer.moving_mean, layer.moving_variance)]


def moving(model: keras.Model) -> list[keras.Variable]:
    """Returns `moments` and the ranges of int8 rounding: all that depends on a replica's images."""
    return moments(model) + [
        layer.range for layer in model.layers if isinstance(layer, FakeQuantize)
    ]


def synchronize(model: keras.Model, together: bool) -> None:
    """Sets whether training normalizes by the moments of all replicas' images, or of its own."""
    for layer in layers(model):
        layer.synchronized = together


def average(
    strategy: tf.distribute.Strategy, variables: list[keras.Variable]
) -> Callable[[], None]:
    """Returns a function that sets these variables, on all replicas, to their mean over them."""

    def replica() -> None:
        # A copy, since a variable's own value is on no device that several workers could name.
        values: list[Any] = [tf.identity(tf.convert_to_tensor(v)) for v in variables]
        means = tf.distribute.get_replica_context().all_reduce("MEAN", values)
        for variable, mean in zip(variables, means, strict=True):
            variable.assign(mean)

    @tf.function(autograph=False)
    def together() -> None:
        if variables and strategy.num_replicas_in_sync > 1:
            strategy.run(replica)

    return together


def precise(
    strategy: tf.distribute.Strategy,
    model: keras.Model,
    inputs: Callable[[tf.Tensor], tf.Tensor],
    batches: Iterable[Any],
    count: int,
) -> None:
    """Replaces the moving averages by the statistics of all activations in some batches.

    Each layer sees what the layers before it make of a training batch. The variance is that of all
    batches together: the mean of squares less the square of the mean.

    Args:
        strategy: whose replicas share each batch.
        model: whose statistics are replaced.
        inputs: from the images of a batch to the input of the network.
        batches: of training; the first of each is the images.
        count: how many batches are used.
    """
    found = moments(model)
    with strategy.scope():
        # In float64: a difference of squares loses digits where the mean is large.
        sums = [keras.Variable(np.zeros(v.shape), dtype="float64") for v in found]

    def replica(images: tf.Tensor) -> None:
        # At a momentum of 0, the moving moments are those of this batch.
        model(inputs(images), training=True)
        for i in range(0, len(found), 2):
            mean = tf.cast(found[i].value, tf.float64)
            variance = tf.cast(found[i + 1].value, tf.float64)
            sums[i].assign_add(mean / count)
            sums[i + 1].assign_add((variance + mean**2) / count)

    step = tf.function(lambda images: strategy.run(replica, (images,)), autograph=False)
    with _momentum(model, 0.0):
        for _, (images, *_) in zip(range(count), batches, strict=False):
            step(images)
    average(strategy, sums)()
    for i in range(0, len(found), 2):
        mean = tf.convert_to_tensor(sums[i].value)
        square = tf.convert_to_tensor(sums[i + 1].value)
        found[i].assign(tf.cast(mean, tf.float32))
        found[i + 1].assign(tf.cast(tf.maximum(square - mean**2, 0.0), tf.float32))


@contextmanager
def _momentum(model: keras.Model, momentum: float) -> Iterator[None]:
    """Sets the momentum of every normalization, and restores it at the end."""
    usual = [layer.momentum for layer in layers(model)]
    for layer in layers(model):
        layer.momentum = momentum
    try:
        yield
    finally:
        for layer, old in zip(layers(model), usual, strict=True):
            layer.momentum = old
