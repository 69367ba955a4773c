"""The rules of an update, for gradients that are already summed over the replicas.

Each is Keras's own, or a paper's where Keras has none, with a weight decay of its own for each
variable. Only `update_step` is called: all replicas hold equal sums, and each applies them by
itself.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

Decays = Mapping[str, float]  # the path of a variable to its weight decay

# Adam and LAMB, as in their papers.
BETA_1 = 0.9
BETA_2 = 0.999
ADAM_EPSILON = 1e-8
LAMB_EPSILON = 1e-6


def decays(variables: Sequence[keras.Variable], weight_decay: float, *, norms: bool) -> Decays:
    """Returns the weight decay of each variable.

    Args:
        variables: of a network.
        weight_decay: of those that decay.
        norms: whether scales and biases decay too, or only kernels.
    """
    return {v.path: weight_decay if norms or v.path.endswith("kernel") else 0.0 for v in variables}


class SGD(keras.optimizers.SGD):
    """v <- momentum v - rate (g + decay w), w <- w + v: the paper's decay, coupled to momentum."""

    def __init__(self, decays: Decays, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._decays = decays

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        decayed = gradient + self._decays[variable.path] * ops.convert_to_tensor(variable)
        super().update_step(decayed, variable, learning_rate)


class LARS(SGD):
    """SGD whose step is a share of the norm of the weight (arXiv:1708.03888, algorithm 1).

    Scales and biases follow plain SGD, as is the custom since MLPerf's ResNet-50.

    Args:
        decays: as `decays` gives them.
        trust: the coefficient of the share.
        **arguments: those of `keras.optimizers.SGD`.
    """

    def __init__(self, decays: Decays, trust: float, **arguments: Any) -> None:
        super().__init__(decays, **arguments)
        self._trust = trust

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        if len(variable.shape) > 1:
            weight = _norm(variable)
            slope = _norm(gradient)
            total = slope + self._decays[variable.path] * weight
            learning_rate = learning_rate * _ratio(self._trust * weight, total)
        super().update_step(gradient, variable, learning_rate)


class AdamW(keras.optimizers.Adam):
    """Adam with decoupled decay: w <- w - rate decay w first (arXiv:1711.05101, algorithm 2)."""

    def __init__(self, decays: Decays, **arguments: Any) -> None:
        super().__init__(beta_1=BETA_1, beta_2=BETA_2, epsilon=ADAM_EPSILON, **arguments)
        self._decays = decays

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        decay = self._decays[variable.path]
        self.assign_sub(variable, learning_rate * decay * ops.convert_to_tensor(variable))
        super().update_step(gradient, variable, learning_rate)


class LAMB(keras.optimizers.Optimizer):
    """Adam's direction with decay, scaled to the weight's norm (arXiv:1904.00962, algorithm 2).

    Keras's own applies the decay outside of that scaling. A variable without decay is not scaled,
    as in timm.
    """

    def __init__(self, decays: Decays, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._decays = decays

    def build(self, variables: list[keras.Variable]) -> None:
        super().build(variables)
        self._means, self._squares = self.add_optimizer_variables(variables, ["mean", "square"])

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        decay = self._decays[variable.path]
        mean = self._means[index]
        square = self._squares[index]
        time = ops.cast(self.iterations + 1, variable.dtype)
        self.assign_add(mean, (gradient - mean) * (1 - BETA_1))
        self.assign_add(square, (ops.square(gradient) - square) * (1 - BETA_2))
        unbiased = ops.sqrt(square / (1 - ops.power(BETA_2, time)))
        step = mean / (1 - ops.power(BETA_1, time)) / (unbiased + LAMB_EPSILON)
        if decay:
            step = step + decay * ops.convert_to_tensor(variable)
            step = step * _ratio(_norm(variable), _norm(step))
        self.assign_sub(variable, learning_rate * step)


def _norm(weight: Any) -> Any:
    return ops.sqrt(ops.sum(ops.square(weight)))


def _ratio(numerator: Any, denominator: Any) -> Any:
    """Returns one norm over another, or 1 where either of them is 0."""
    both = ops.logical_and(numerator > 0, denominator > 0)
    return ops.where(both, numerator / ops.where(both, denominator, 1.0), 1.0)
