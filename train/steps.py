"""One global batch over the replicas: forward, backward, update, and what came of it."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_resnet import transfer
from keras_resnet.network import ResidualNetwork
from train.recipe import Recipe

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

    Each replica divides its loss by the *global* batch, so that the sum of the gradients over the
    replicas is the gradient of the mean. Only forward and backward are compiled by XLA: the
    reduction cannot be.
    """
    variables = model.trainable_variables
    gradients = tf.function(_gradients(model, recipe), jit_compile=jit_compile)
    change = _change(model, recipe)

    def replica_step(images: tf.Tensor, labels: tf.Tensor) -> Metrics:
        grads, metrics = gradients(images, labels)
        grads = tf.distribute.get_replica_context().all_reduce("SUM", grads)
        optimizer.apply(change(grads), variables)
        return metrics

    @tf.function
    def step(images: tf.Tensor, labels: tf.Tensor) -> Metrics:
        return _sum(strategy, strategy.run(replica_step, (images, labels)))

    return step


def _gradients(model: ResidualNetwork, recipe: Recipe) -> Callable[..., tuple[Any, Metrics]]:
    """Returns forward and backward of a replica's share of a batch, in as many parts as asked."""

    def one(images: tf.Tensor, labels: tf.Tensor) -> tuple[Any, Metrics]:
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            losses = cross_entropy(labels, logits, recipe.label_smoothing)
            loss = tf.reduce_sum(losses) / recipe.batch_size
        grads = tape.gradient(loss, model.trainable_variables)
        correct = tf.reduce_sum(tf.cast(tf.argmax(logits, -1) == labels, tf.float32))
        return grads, {"loss": loss, "accuracy": correct / recipe.batch_size}

    def accumulated(images: tf.Tensor, labels: tf.Tensor) -> tuple[Any, Metrics]:
        size = images.shape[0] // recipe.micro_batches
        first = one(images[:size], labels[:size])

        def add(i: tf.Tensor, total: Any) -> tuple[tf.Tensor, Any]:
            part = slice(i * size, (i + 1) * size)
            return i + 1, tf.nest.map_structure(tf.add, total, one(images[part], labels[part]))

        # One after another, since their activations shall not be in memory together.
        loop = tf.while_loop(
            lambda i, _: i < recipe.micro_batches, add, (1, first), parallel_iterations=1
        )
        return loop[1]

    return one if recipe.micro_batches == 1 else accumulated


def _change(model: ResidualNetwork, recipe: Recipe) -> Callable[[Any], list[tf.Tensor]]:
    """Returns what makes the gradient of the global batch the one to follow: clipped, decayed."""
    variables = model.trainable_variables
    rates = transfer.rates(model, recipe.stage_rate)
    decays = [recipe.weight_decay * _decays(variable, recipe) for variable in variables]

    def change(grads: Any) -> list[tf.Tensor]:
        if recipe.clip_norm:
            grads, _ = tf.clip_by_global_norm(grads, recipe.clip_norm)
        # To momentum and SGD a share of the rate is a share of the gradient, decay included.
        return [
            rate * (grad + decay * tf.convert_to_tensor(variable))
            for rate, grad, decay, variable in zip(rates, grads, decays, variables, strict=True)
        ]

    return change


def _decays(variable: keras.Variable, recipe: Recipe) -> bool:
    return recipe.decay_norms or variable.path.endswith("kernel")


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
