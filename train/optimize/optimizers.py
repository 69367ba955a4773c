"""The rules of an update, for gradients that are already summed over the replicas.

Each is Keras's own, or a paper's where Keras has none, with a weight decay that knows which weights
it is for. Only `update_step` is called: replicas hold equal sums, and follow them by themselves.
"""

from collections.abc import Callable, Mapping
from typing import Any

import keras
from keras import ops

from train.recipes.recipe import Recipe

Decays = Mapping[str, float]  # the path of a variable to its weight decay


class SGD(keras.optimizers.SGD):
    """v <- momentum v - rate (g + decay w), w <- w + v: the paper's decay, coupled to momentum."""

    def __init__(self, decays: Decays, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._decays = decays

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        decayed = gradient + self._decays[variable.path] * ops.convert_to_tensor(variable)
        super().update_step(decayed, variable, learning_rate)


class LARS(SGD):
    """SGD whose step is a share of the length of the weight (arXiv:1708.03888, algorithm 1).

    Scales and biases follow plain SGD, as is the custom since MLPerf's ResNet-50.
    """

    def __init__(self, decays: Decays, trust: float, **arguments: Any) -> None:
        super().__init__(decays, **arguments)
        self._trust = trust

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        if len(variable.shape) > 1:
            weight, slope = _norm(variable), _norm(gradient)
            total = slope + self._decays[variable.path] * weight
            learning_rate = learning_rate * _ratio(self._trust * weight, total)
        super().update_step(gradient, variable, learning_rate)


class AdamW(keras.optimizers.Adam):
    """Adam with decoupled decay: w <- w - rate decay w first (arXiv:1711.05101, algorithm 2)."""

    def __init__(self, decays: Decays, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._decays = decays

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        decay = self._decays[variable.path]
        self.assign_sub(variable, learning_rate * decay * ops.convert_to_tensor(variable))
        super().update_step(gradient, variable, learning_rate)


class LAMB(keras.optimizers.Optimizer):
    """Adam's direction, decay included, as long as the weight is (arXiv:1904.00962, algorithm 2).

    Keras's own decays apart from that length. What has no decay is not scaled, as in timm.
    """

    def __init__(self, decays: Decays, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._decays = decays

    def build(self, variables: list[keras.Variable]) -> None:
        super().build(variables)
        self._means, self._squares = self.add_optimizer_variables(variables, ["mean", "square"])

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        index, decay = self._get_variable_index(variable), self._decays[variable.path]
        mean, square = self._means[index], self._squares[index]
        time = ops.cast(self.iterations + 1, variable.dtype)
        self.assign_add(mean, (gradient - mean) * (1 - BETA_1))
        self.assign_add(square, (ops.square(gradient) - square) * (1 - BETA_2))
        unbiased = ops.sqrt(square / (1 - ops.power(BETA_2, time)))
        step = mean / (1 - ops.power(BETA_1, time)) / (unbiased + LAMB_EPSILON)
        if decay:
            step = step + decay * ops.convert_to_tensor(variable)
            step = step * _ratio(_norm(variable), _norm(step))
        self.assign_sub(variable, learning_rate * step)


BETA_1, BETA_2, LAMB_EPSILON = 0.9, 0.999, 1e-6  # of the paper


def build(recipe: Recipe, variables: list[keras.Variable]) -> keras.optimizers.Optimizer:
    """Returns the recipe's optimizer, with slots for these variables, also for those yet frozen."""
    decays = {v.path: recipe.weight_decay * _decays(v, recipe) for v in variables}
    # A name, since Keras would number those of a process, and variables carry it.
    named: dict[str, Any] = {"name": recipe.optimizer, "learning_rate": float(recipe.learning_rate)}
    momentum = named | {"momentum": float(recipe.momentum), "nesterov": recipe.nesterov}
    rule: dict[str, Callable[[], keras.optimizers.Optimizer]] = {
        "sgd": lambda: SGD(decays, **momentum),
        "lars": lambda: LARS(decays, recipe.trust, **momentum),
        "adamw": lambda: AdamW(decays, beta_1=BETA_1, beta_2=BETA_2, epsilon=1e-8, **named),
        "lamb": lambda: LAMB(decays, **named),
    }
    optimizer = rule[recipe.optimizer]()
    optimizer.build(variables)
    return optimizer


def _decays(variable: keras.Variable, recipe: Recipe) -> bool:
    return recipe.decay_norms or variable.path.endswith("kernel")


def _norm(weight: Any) -> Any:
    return ops.sqrt(ops.sum(ops.square(weight)))


def _ratio(numerator: Any, denominator: Any) -> Any:
    """A length over another, or 1 where one of them says nothing."""
    both = ops.logical_and(numerator > 0, denominator > 0)
    return ops.where(both, numerator / ops.where(both, denominator, 1.0), 1.0)
