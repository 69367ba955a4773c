"""The loss of each example, against labels or against targets that were mixed."""

import tensorflow as tf

from train.recipes.recipe import Recipe


def cross_entropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns -log softmax at the label, [batch]."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)


def training(targets: tf.Tensor, logits: tf.Tensor, recipe: Recipe) -> tf.Tensor:
    """Returns the loss that a recipe asks for, [batch], 0 where an example is to be left out.

    Args:
        targets: labels [batch], -1 to leave one out; or shares [batch, classes], all 0.
        logits: float32 [batch, classes].
        recipe: its loss, label_smoothing and target_threshold.
    """
    classes = logits.shape[-1]
    if targets.shape.rank == 1:
        targets = tf.one_hot(targets, classes)
    counts = tf.reduce_sum(targets, -1)
    # Szegedy et al., arXiv:1512.00567, section 7.
    targets = (1.0 - recipe.label_smoothing) * targets + recipe.label_smoothing / classes
    if recipe.loss == "sigmoid":
        # Wightman et al., arXiv:2110.00476, section 3: every class is a question of its own.
        if recipe.target_threshold:
            targets = tf.cast(targets > recipe.target_threshold, tf.float32)
        losses = tf.nn.sigmoid_cross_entropy_with_logits(targets, logits)
        return counts * tf.reduce_mean(losses, -1)
    return counts * tf.nn.softmax_cross_entropy_with_logits(targets, logits)


def correct(targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns 1.0 where the largest logit is of the largest target, [batch]."""
    if targets.shape.rank == 2:
        targets = tf.where(tf.reduce_sum(targets, -1) > 0, tf.argmax(targets, -1), -1)
    return tf.cast(tf.argmax(logits, -1) == targets, tf.float32)
