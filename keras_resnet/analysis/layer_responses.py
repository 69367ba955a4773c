"""How strongly layers respond: Figure 7 of arXiv:1512.03385."""

import math
from typing import Any

import keras
from keras import KerasTensor as Tensor, activations, layers, ops

from keras_resnet.analysis.arguments import batches
from keras_resnet.rewrite import graph

__all__ = ["responses"]


def responses(model: keras.Model, images: Any, *, batch_size: int = 32) -> dict[str, float]:
    """Measures the standard deviation of each 3x3 layer's response, as Figure 7 of the paper.

    The response of a 3x3 convolution is the output of the batch normalization that alone reads it,
    in inference: before the ReLU, and before the addition if it ends a branch. Without such a
    normalization, as in folded networks and at the end of a branch with pre-activation, it is the
    output of the convolution. The deviation is that of all its numbers, over images, positions and
    filters, from their common mean.

    Args:
        model: a plain or residual network of this package, or another functional model whose
            convolutions have no activation of their own.
        images: [batch, height, width, channels] of any float dtype, preprocessed for the network.
        batch_size: images that are computed at a time; it does not change the result.

    Returns:
        Deviations by the names of the convolutions, in their order; the figure also sorts them.

    Raises:
        TypeError: if it is not a Keras model.
        ValueError: for a model without a graph or 3x3 convolutions, for a 3x3 convolution with an
            activation, and without images.
    """
    functional = graph.functional(model, "responses")
    measured = _measured(functional)
    moments = {name: _Moments() for name in measured.values()}

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        outputs = layer(*args, **kwargs)
        if layer.name in measured:
            moments[measured[layer.name]].add(outputs)
        return outputs

    last = functional.outputs[0]
    for known in batches(functional, images, batch_size):
        graph.evaluate(functional, known, last, call)
    return {name: moment.deviation for name, moment in moments.items()}


def _measured(functional: keras.Model) -> dict[str, str]:
    """Returns the 3x3 convolutions, by the names of the layers whose outputs are measured."""
    uses = graph.Uses(functional)
    nodes = graph.calls(functional)
    norms = {
        id(node.input_tensors[0]): node.operation.name
        for node in nodes
        if isinstance(node.operation, layers.BatchNormalization)
    }
    found = {}
    for node in nodes:
        conv = node.operation
        if not isinstance(conv, layers.Conv2D) or tuple(conv.kernel_size) != (3, 3):
            continue
        if conv.activation is not activations.linear:
            raise ValueError(
                f"responses are measured before the activation, and {conv.name} includes its own"
            )
        found[_end(node.outputs[0], uses, norms) or conv.name] = conv.name
    if not found:
        raise ValueError(f"{functional.name} has no 3x3 convolutions")
    return found


def _end(tensor: Tensor, uses: graph.Uses, norms: dict[int, str]) -> str | None:
    return norms.get(id(tensor)) if uses.only_reader(tensor) else None


class _Moments:
    """Mean and variance of numbers that come in parts (Chan, Golub and LeVeque, 1979)."""

    def __init__(self) -> None:
        self._count = 0
        self._mean = 0.0
        self._squares = 0.0  # sum of squared differences to the mean

    def add(self, values: Any) -> None:
        values = ops.cast(values, "float32")
        count = math.prod(values.shape)
        mean = float(ops.mean(values))
        distance = mean - self._mean
        total = self._count + count
        self._squares += count * float(ops.mean(ops.square(values - mean)))
        self._squares += distance**2 * self._count * count / total
        self._mean += distance * count / total
        self._count = total

    @property
    def deviation(self) -> float:
        return math.sqrt(self._squares / self._count)
