"""One global batch over the replicas: forward, backward, update, and what came of it."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_resnet import transfer
from keras_resnet.network import ResidualNetwork
from train.recipes import Recipe

Metrics = dict[str, tf.Tensor]
TrainStep = Callable[[tf.Tensor, tf.Tensor], Metrics]
EvalStep = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], Metrics]


def cross_entropy(labels: tf.Tensor, logits: tf.Tensor, smoothing: float = 0.0) -> tf.Tensor:
    """Returns the loss of each example, [batch]: -sum(target * log softmax)."""
    classes = logits.shape[-1]
    targets = tf.one_hot(
        labels, classes, 1.0 - smoothing + smoothing / classes, smoothing / classes
    )
    return tf.nn.softmax_cross_entropy_with_logits(targets, logits)


def train_step(
    strategy: tf.distribute.Strategy,
    model: ResidualNetwork,
    optimizer: keras.optimizers.Optimizer,
    recipe: Recipe,
    *,
    jit_compile: bool = False,
) -> TrainStep:
    """Returns the function (images, labels) -> loss and accuracy, means over the global batch.

    Only forward and backward are compiled by XLA: the reduction over replicas, which the
    optimizer starts, cannot be. It sums gradients, so that each replica divides its loss by
    the *global* batch and adds its share of the weight decay.
    """
    replicas = strategy.num_replicas_in_sync
    variables = model.trainable_variables
    rates = transfer.rates(model, recipe.stage_rate)

    @tf.function(jit_compile=jit_compile)
    def gradients(images: tf.Tensor, labels: tf.Tensor) -> tuple[list[tf.Tensor], Metrics]:
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            losses = cross_entropy(labels, logits, recipe.label_smoothing)
            loss = tf.reduce_sum(losses) / recipe.batch_size
        decay = recipe.weight_decay / replicas
        raw = tape.gradient(loss, variables)
        # To momentum and SGD a share of the rate is a share of the gradient, decay included.
        grads = [
            rate * (grad + decay * tf.convert_to_tensor(variable))
            for rate, grad, variable in zip(rates, raw, variables, strict=True)
        ]
        correct = tf.reduce_sum(tf.cast(tf.argmax(logits, -1) == labels, tf.float32))
        return grads, {"loss": loss, "accuracy": correct / recipe.batch_size}

    def replica_step(images: tf.Tensor, labels: tf.Tensor) -> Metrics:
        grads, metrics = gradients(images, labels)
        optimizer.apply(grads, variables)
        return metrics

    @tf.function
    def step(images: tf.Tensor, labels: tf.Tensor) -> Metrics:
        return _sum(strategy, strategy.run(replica_step, (images, labels)))

    return step


def eval_step(strategy: tf.distribute.Strategy, model: keras.Model) -> EvalStep:
    """Returns the function (images, labels, weights) -> weighted sums over the global batch."""
    top = min(5, model.output_shape[-1])

    def replica_step(images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> Metrics:
        logits = model(images, training=False)
        sums = {
            "top1": tf.math.in_top_k(labels, logits, 1),
            "top5": tf.math.in_top_k(labels, logits, top),
            "loss": cross_entropy(labels, logits),
            "examples": tf.ones_like(weights),
        }
        return {name: tf.reduce_sum(tf.cast(x, tf.float32) * weights) for name, x in sums.items()}

    @tf.function
    def step(images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> Metrics:
        return _sum(strategy, strategy.run(replica_step, (images, labels, weights)))

    return step


def average_statistics(strategy: tf.distribute.Strategy, model: keras.Model) -> Callable[[], None]:
    """Returns what gives all replicas the mean of their BN statistics.

    They drift apart in training, and a network that is saved or evaluated has only one set.
    """
    statistics = [
        weight
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
        for weight in layer.non_trainable_weights
    ]

    def average() -> None:
        context = tf.distribute.get_replica_context()
        values: list[Any] = [tf.convert_to_tensor(weight) for weight in statistics]
        for weight, mean in zip(statistics, context.all_reduce("MEAN", values), strict=True):
            weight.assign(mean)

    @tf.function
    def average_all() -> None:
        if strategy.num_replicas_in_sync > 1:
            strategy.run(average)

    return average_all


def _sum(strategy: tf.distribute.Strategy, metrics: Metrics) -> Metrics:
    return {name: strategy.reduce("SUM", value, axis=None) for name, value in metrics.items()}
