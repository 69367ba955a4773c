"""Sums over the replicas of a strategy, sent as one message."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf


def summed(
    strategy: tf.distribute.Strategy,
    names: Sequence[str],
    replica_step: Callable[..., dict[str, tf.Tensor]],
    arguments: Sequence[Any],
) -> dict[str, tf.Tensor]:
    """Runs a function on each replica; returns the sum of each scalar that it returns.

    Args:
        strategy: whose replicas take part.
        names: the keys of what `replica_step` returns.
        replica_step: takes a replica's own arguments.
        arguments: values that the strategy has distributed.
    """

    def packed(*own: Any) -> tf.Tensor:
        metrics = replica_step(*own)
        return tf.stack([metrics[name] for name in names])

    total = strategy.reduce("SUM", strategy.run(packed, tuple(arguments)), axis=None)
    return dict(zip(names, tf.unstack(total), strict=True))
