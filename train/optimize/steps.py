"""One global batch over the replicas: forward, backward and update."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_resnet.network import ResidualNetwork
from train.optimize import statistics
from train.optimize.batching import Batching
from train.optimize.updates import Update
from train.tasks.replicas import summed
from train.tasks.task import Task

Metrics = dict[str, tf.Tensor]
TrainStep = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor], Metrics]
Gradients = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[Any, Metrics]]


def train_step(
    strategy: tf.distribute.Strategy,
    model: ResidualNetwork,
    update: Update,
    task: Task,
    batching: Batching,
    *,
    jit_compile: bool = False,
) -> TrainStep:
    """Returns the function (images, targets, weights, learning rate) -> metrics.

    Metrics are the task's, as means over the global batch, and "skipped": 1 for a step that was
    left out because gradients overflowed in float16. Each replica divides its loss by the *global*
    batch size, so that the sum of the gradients over the replicas is the gradient of the mean.

    Args:
        strategy: whose replicas share each batch.
        model: returns logits.
        update: of the model's weights.
        task: what is minimized and measured.
        batching: size and parts of a batch.
        jit_compile: whether XLA compiles forward, backward and update. It cannot compile the
            reduction over the replicas between them.
    """
    gradients = _gradients(model, update, task, batching.size)
    if batching.micro_batches > 1:
        gradients = _accumulated(gradients, batching.micro_batches)
    if not batching.sync_bn:
        gradients = tf.function(gradients, autograph=False, jit_compile=jit_compile)
    change = tf.function(update, autograph=False, jit_compile=jit_compile)

    def replica_step(
        images: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor, rate: tf.Tensor
    ) -> Metrics:
        before = [tf.identity(v) for v in statistics.moving(model)] if update.scale else []
        grads, metrics = gradients(images, targets, weights)
        replicas = tf.distribute.get_replica_context()
        finite, taken = change(replicas.all_reduce("SUM", grads), rate, before)
        # NaN does not always reach the loss: a fused ReLU turns it into 0.
        loss = tf.where(finite | ~taken, metrics["loss"], np.nan)
        skipped = tf.cast(~taken, tf.float32) / replicas.num_replicas_in_sync
        return metrics | {"loss": loss, "skipped": skipped}

    @tf.function(autograph=False)
    def step(images: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor, rate: tf.Tensor) -> Metrics:
        names = (*task.train_names, "skipped")
        metrics = summed(strategy, names, replica_step, (images, targets, weights, rate))
        iterations = update.optimizer.iterations
        iterations.assign_add(tf.cast(metrics["skipped"] < 0.5, iterations.dtype))
        return metrics

    return step


def _gradients(model: ResidualNetwork, update: Update, task: Task, batch_size: int) -> Gradients:
    """Returns forward and backward of some examples: gradients, and shares of the means."""

    def gradients(images: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> tuple[Any, Metrics]:
        scale = update.scale.value if update.scale else 1.0
        with tf.GradientTape() as tape:
            logits = model(task.inputs(images), training=True)
            sums = task.train_sums(targets, weights, logits)
            scaled = sums["loss"] / batch_size * tf.convert_to_tensor(scale)
        grads = tape.gradient(scaled, model.trainable_variables)
        return grads, {name: value / batch_size for name, value in sums.items()}

    return gradients


def _accumulated(gradients: Gradients, parts: int) -> Gradients:
    """Returns the same over parts of the examples, added up."""

    def accumulated(
        images: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor
    ) -> tuple[Any, Metrics]:
        size = images.shape[0] // parts

        def add(i: tf.Tensor, total: Any) -> tuple[tf.Tensor, Any]:
            own = slice(i * size, (i + 1) * size)
            more = gradients(images[own], targets[own], weights[own])
            return i + 1, tf.nest.map_structure(tf.add, total, more)

        first = gradients(images[:size], targets[:size], weights[:size])
        # One after another: activations of two parts must not be in memory together.
        _, total = tf.while_loop(lambda i, _: i < parts, add, (1, first), parallel_iterations=1)
        return total

    return accumulated
