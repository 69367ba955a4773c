"""The optimizer of a recipe, for gradients that are already summed over the replicas.

Keras's own sum them when they are applied, which is too late for whatever looks at the gradient of
the global batch, such as clipping by its norm.
"""

from typing import Any

import keras

from train.recipe import Recipe


class SGD(keras.optimizers.SGD):
    """Takes the gradients that one replica holds as those of all of them."""

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
        return grads_and_vars  # a test compares one replica with several, should Keras rename it


def build(recipe: Recipe, variables: list[keras.Variable]) -> keras.optimizers.Optimizer:
    """Returns SGD with momentum and its slots for these variables, also for those yet frozen."""
    optimizer = SGD(recipe.learning_rate, recipe.momentum, recipe.nesterov, name="sgd")
    optimizer.build(variables)
    return optimizer
