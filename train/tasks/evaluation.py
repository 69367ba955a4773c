"""A network measured on a split, by the metrics of its task."""

from collections.abc import Callable, Iterable
from typing import Any

import keras
import tensorflow as tf

from train.tasks.replicas import summed
from train.tasks.task import Scalars, Task

EvalStep = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]


def eval_step(strategy: tf.distribute.Strategy, model: keras.Model, task: Task) -> EvalStep:
    """Returns the function (images, targets, weights) -> sums over the global batch."""

    def replica_step(
        images: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        return task.eval_sums(targets, weights, model(task.inputs(images), training=False))

    @tf.function(autograph=False)
    def step(images: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> dict[str, tf.Tensor]:
        return summed(strategy, task.eval_names, replica_step, (images, targets, weights))

    return step


def evaluate(step: EvalStep, batches: Iterable[Any], task: Task) -> Scalars:
    """Returns the metrics of all batches together.

    Args:
        step: as `eval_step` returns it.
        batches: each (images, targets, weights).
        task: what the metrics are.

    Raises:
        ValueError: if no example has a weight above 0.
    """
    sums = dict.fromkeys(task.eval_names, 0.0)
    for batch in batches:
        for name, value in step(*batch).items():
            sums[name] += float(value)
    if not sums["examples"]:
        raise ValueError("no image of the split could be decoded")
    return task.result(sums)
