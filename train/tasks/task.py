"""The seam between what a batch means and the code that trains on it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import tensorflow as tf

from train.tasks.headline import Headline

Scalars = dict[str, float]
Sums = dict[str, tf.Tensor]


@dataclass(frozen=True)
class Task:
    """Loss and metrics of one kind of training.

    A batch is (images, targets, weights). Weights are float32 [batch]: 0 for an example that is
    left out, since it could not be read or only fills up the last batch, and 1 for all others.

    Attributes:
        headline: the metric by which networks are compared.
        train_names: keys of what `train_sums` returns: "loss", which is minimized, and others.
        train_sums: (targets, weights, logits) -> scalars, each a sum over the examples.
        eval_names: keys of what `eval_sums` returns.
        eval_sums: (targets, weights, logits) -> scalars, each a sum over the examples.
        result: from the sums over a whole split to the metrics of an evaluation.
        train_text: metrics of training, as people read them.
        eval_text: metrics of an evaluation, as people read them.
        inputs: from the images of a batch to the input of the network; by default they are equal.
            Batches of a run hold pixels, uint8 if possible, which are a quarter of the bytes to
            copy to a device; a compiler can merge the normalization with what follows.
    """

    headline: Headline
    train_names: tuple[str, ...]
    train_sums: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], Sums]
    eval_names: tuple[str, ...]
    eval_sums: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], Sums]
    result: Callable[[Mapping[str, float]], Scalars]
    train_text: Callable[[Mapping[str, float]], str]
    eval_text: Callable[[Mapping[str, float]], str]
    inputs: Callable[[tf.Tensor], tf.Tensor] = tf.identity
