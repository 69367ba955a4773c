"""The graph of a functional model: calls of layers, and the tensors between them."""

from collections import Counter
from typing import Any

import keras
from keras import KerasTensor as Tensor

from keras_resnet.network import check_flat

__all__ = ["Node", "Uses", "calls", "functional", "producer"]

Node = Any  # one call of a layer; the class of Keras is not public


def functional(model: Any, wanted: str) -> keras.Model:
    """Returns a model's graph from its inputs to its outputs.

    Args:
        model: functional or sequential.
        wanted: the operation that needs it, for error messages.

    Raises:
        TypeError: if it is not a Keras model.
        ValueError: for a model without a graph, or with another model as a layer.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"{wanted} needs a Keras model, got {model!r}")
    check_flat(model, wanted)
    try:
        return keras.Model(model.input, model.output, name=model.name)
    except (AttributeError, ValueError) as error:
        raise ValueError(f"{wanted} needs a functional model; {model.name} has no graph") from error


def calls(graph: keras.Model) -> list[Node]:
    """Returns all calls of layers between the inputs and outputs of `functional`."""
    return [node for nodes in graph._nodes_by_depth.values() for node in nodes]


def producer(tensor: Tensor) -> Any:
    """Returns the layer that computed a tensor of a graph."""
    return tensor._keras_history.operation


class Uses:
    """Counts how often tensors of a graph are read, outputs included, and layers are called."""

    def __init__(self, graph: keras.Model) -> None:
        nodes = calls(graph)
        self._layers = Counter(id(node.operation) for node in nodes)
        read = [tensor for node in nodes for tensor in node.input_tensors]
        self._tensors = Counter(id(tensor) for tensor in (*read, *graph.outputs))

    def once(self, layer: Any) -> bool:
        """Whether a layer is called once."""
        return self._layers[id(layer)] == 1

    def only_reader(self, tensor: Tensor) -> bool:
        """Whether exactly one call reads a tensor, and the tensor is not an output."""
        return self._tensors[id(tensor)] == 1
