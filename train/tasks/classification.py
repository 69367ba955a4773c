"""Classification: one class for each image, or shares of several where images were mixed."""

from collections.abc import Mapping
from functools import partial

import tensorflow as tf

from train.tasks.headline import TOP1
from train.tasks.task import Scalars, Sums, Task

TOP = 5  # an image counts for "top5" if its class is among so many largest logits


def task(
    loss: str = "softmax", label_smoothing: float = 0.0, target_threshold: float = 0.0
) -> Task:
    """Returns the task of classification; its arguments are those of `losses`."""
    measure = partial(
        losses, loss=loss, label_smoothing=label_smoothing, target_threshold=target_threshold
    )

    def train_sums(targets: tf.Tensor, weights: tf.Tensor, logits: tf.Tensor) -> Sums:
        hits = correct(targets, logits)
        return {
            "loss": tf.reduce_sum(weights * measure(targets, logits)),
            TOP1.train_name: 100.0 * tf.reduce_sum(weights * hits),
        }

    return Task(
        headline=TOP1,
        train_names=("loss", TOP1.train_name),
        train_sums=train_sums,
        eval_names=("top1", "top5", "loss", "examples"),
        eval_sums=eval_sums,
        result=result,
        train_text=train_text,
        eval_text=eval_text,
    )


def losses(
    targets: tf.Tensor,
    logits: tf.Tensor,
    *,
    loss: str = "softmax",
    label_smoothing: float = 0.0,
    target_threshold: float = 0.0,
) -> tf.Tensor:
    """Returns the loss of each example for training, float32 [batch].

    Args:
        targets: integer labels [batch], or shares float32 [batch, classes].
        logits: float32 [batch, classes].
        loss: "softmax" for the cross-entropy of one choice, "sigmoid" for the mean of the binary
            cross-entropies of all classes.
        label_smoothing: share of the target that is spread over all classes.
        target_threshold: with "sigmoid", targets above it count as 1 and others as 0; 0 keeps them.
    """
    classes = logits.shape[-1]
    if targets.shape.rank == 1:
        targets = tf.one_hot(targets, classes)
    # Szegedy et al., arXiv:1512.00567, section 7.
    targets = (1.0 - label_smoothing) * targets + label_smoothing / classes
    if loss == "softmax":
        return tf.nn.softmax_cross_entropy_with_logits(targets, logits)
    # Wightman et al., arXiv:2110.00476, section 3: a yes or no for each class.
    if target_threshold:
        targets = tf.cast(targets > target_threshold, tf.float32)
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(targets, logits), -1)


def correct(targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns 1.0 where the largest logit is that of the largest target, float32 [batch]."""
    if targets.shape.rank == 2:
        targets = tf.argmax(targets, -1)
    return tf.cast(tf.argmax(logits, -1) == tf.cast(targets, tf.int64), tf.float32)


def eval_sums(labels: tf.Tensor, weights: tf.Tensor, logits: tf.Tensor) -> Sums:
    """Returns sums over a batch: correct images, loss, and number of examples.

    The loss is the softmax cross-entropy, whatever the network was trained with.

    Args:
        labels: integers [batch].
        weights: float32 [batch].
        logits: float32 [batch, classes].
    """
    # The first of equal logits is the network's choice; after rounding to int8 many are equal.
    top = min(TOP, logits.shape[-1])
    best = tf.cast(tf.math.top_k(logits, top).indices, labels.dtype)
    hits = tf.equal(best, labels[:, tf.newaxis])
    hits &= tf.reduce_all(tf.math.is_finite(logits), 1, keepdims=True)
    each = {
        "top1": hits[:, 0],
        "top5": tf.reduce_any(hits, 1),
        "loss": tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits),
        "examples": tf.ones_like(weights),
    }
    return {name: tf.reduce_sum(tf.cast(x, tf.float32) * weights) for name, x in each.items()}


def result(sums: Mapping[str, float]) -> Scalars:
    """Returns top1 and top5 (percent), the mean loss, and the number of examples."""
    count = sums["examples"]
    return {
        "top1": 100 * sums["top1"] / count,
        "top5": 100 * sums["top5"] / count,
        "loss": sums["loss"] / count,
        "examples": count,
    }


def train_text(means: Mapping[str, float]) -> str:
    return f"loss {means['loss']:.4f}  accuracy {means[TOP1.train_name]:.2f} %"


def eval_text(metrics: Mapping[str, float]) -> str:
    return (
        f"top-1 {metrics['top1']:.2f} %  top-5 {metrics['top5']:.2f} %"
        f"  loss {metrics['loss']:.4f}  of {metrics['examples']:,.0f} examples"
    )
