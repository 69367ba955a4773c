"""One global batch over the replicas: forward, backward, update, and what came of it."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_resnet.network import ResidualNetwork
from train.optimize import statistics
from train.optimize.updates import Update
from train.recipes.recipe import Recipe
from train.tasks import classification as losses

Metrics = dict[str, tf.Tensor]
TrainStep = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], Metrics]
EvalStep = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], Metrics]


def train_step(
    strategy: tf.distribute.Strategy,
    model: ResidualNetwork,
    update: Update,
    recipe: Recipe,
    *,
    jit_compile: bool = False,
) -> TrainStep:
    """Returns the function (images, targets, learning rate) -> loss, accuracy, skipped.

    Loss and accuracy are means over the global batch. Each replica divides its loss by the
    *global* batch, so that the sum of the gradients over the replicas is the gradient of the mean.
    Forward, backward and update are compiled by XLA where asked; the reduction cannot be, nor can
    normalizations that wait for other replicas.
    """
    gradients = _gradients(model, update, recipe)
    if not recipe.sync_bn:
        gradients = tf.function(gradients, jit_compile=jit_compile)
    change = tf.function(update, jit_compile=jit_compile)

    def replica_step(images: tf.Tensor, targets: tf.Tensor, rate: tf.Tensor) -> Metrics:
        before = [tf.identity(v) for v in statistics.moving(model)] if update.scale else []
        grads, metrics = gradients(images, targets)
        replicas = tf.distribute.get_replica_context()
        finite, taken = change(replicas.all_reduce("SUM", grads), rate, before)
        # Not all kernels let what is no number through to the loss: a fused ReLU makes it 0.
        loss = tf.where(finite | ~taken, metrics["loss"], np.nan)
        skipped = tf.cast(~taken, tf.float32) / replicas.num_replicas_in_sync
        return metrics | {"loss": loss, "skipped": skipped}

    @tf.function
    def step(images: tf.Tensor, targets: tf.Tensor, rate: tf.Tensor) -> Metrics:
        metrics = _sum(strategy, replica_step, (images, targets, rate))
        iterations = update.optimizer.iterations
        iterations.assign_add(tf.cast(metrics["skipped"] < 0.5, iterations.dtype))
        return metrics

    return step


def _gradients(
    model: ResidualNetwork, update: Update, recipe: Recipe
) -> Callable[..., tuple[Any, Metrics]]:
    """Returns forward and backward of a replica's share of a batch, in as many parts as asked."""

    def one(images: tf.Tensor, targets: tf.Tensor) -> tuple[Any, Metrics]:
        scale = update.scale.value if update.scale else 1.0
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            total = tf.reduce_sum(losses.training(targets, logits, recipe))
            scaled = total / recipe.batch_size * tf.convert_to_tensor(scale)
        grads = tape.gradient(scaled, model.trainable_variables)
        sums = {"loss": total, "accuracy": tf.reduce_sum(losses.correct(targets, logits))}
        return grads, {name: value / recipe.batch_size for name, value in sums.items()}

    def accumulated(images: tf.Tensor, targets: tf.Tensor) -> tuple[Any, Metrics]:
        size = images.shape[0] // recipe.micro_batches
        first = one(images[:size], targets[:size])

        def add(i: tf.Tensor, total: Any) -> tuple[tf.Tensor, Any]:
            part = slice(i * size, (i + 1) * size)
            return i + 1, tf.nest.map_structure(tf.add, total, one(images[part], targets[part]))

        # One after another, since their activations shall not be in memory together.
        loop = tf.while_loop(
            lambda i, _: i < recipe.micro_batches, add, (1, first), parallel_iterations=1
        )
        return loop[1]

    return one if recipe.micro_batches == 1 else accumulated


def eval_step(strategy: tf.distribute.Strategy, model: keras.Model) -> EvalStep:
    """Returns the function (images, labels, weights) -> weighted sums over the global batch."""
    top = min(5, model.output_shape[-1])

    def replica_step(images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> Metrics:
        logits = model(images, training=False)
        # The first of equal logits is the network's choice; those rounded to int8 often are equal.
        best = tf.cast(tf.math.top_k(logits, top).indices, labels.dtype)
        hits = tf.equal(best, labels[:, tf.newaxis])
        hits &= tf.reduce_all(tf.math.is_finite(logits), 1, keepdims=True)
        sums = {
            "top1": hits[:, 0],
            "top5": tf.reduce_any(hits, 1),
            "loss": losses.cross_entropy(tf.maximum(labels, 0), logits),
            "examples": tf.ones_like(weights),
        }
        return {name: tf.reduce_sum(tf.cast(x, tf.float32) * weights) for name, x in sums.items()}

    @tf.function
    def step(images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> Metrics:
        return _sum(strategy, replica_step, (images, labels, weights))

    return step


def _sum(
    strategy: tf.distribute.Strategy, replica_step: Callable[..., Metrics], arguments: Any
) -> Metrics:
    """Sums what the replicas return, all of it in one message."""
    names: list[str] = []

    def packed(*arguments: Any) -> tf.Tensor:
        metrics = replica_step(*arguments)
        names[:] = metrics
        return tf.stack(list(metrics.values()))

    total = strategy.reduce("SUM", strategy.run(packed, arguments), axis=None)
    return dict(zip(names, tf.unstack(total), strict=True))
