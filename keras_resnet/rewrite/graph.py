"""The graph of a functional model: which call of a layer feeds which, whatever they are named."""

from collections import Counter
from typing import Any

import keras
from keras import KerasTensor as Tensor

from keras_resnet.network import check_flat

Node = Any  # one call of a layer, in the words of Keras


def functional(model: Any, wanted: str) -> keras.Model:
    """Returns a model's graph from its inputs to its outputs.

    Args:
        model: functional or sequential.
        wanted: what it is for, in errors.

    Raises:
        TypeError: if it is not a Keras model.
        ValueError: for a model without a graph, or whose graph hides in a model inside it.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"{wanted} needs a Keras model, got {model!r}")
    check_flat(model, wanted)
    try:
        return keras.Model(model.input, model.output, name=model.name)
    except (AttributeError, ValueError) as error:
        raise ValueError(
            f"{wanted} needs a functional model, whose graph is known; {model.name} has none"
        ) from error


def calls(graph: keras.Model) -> list[Node]:
    """Returns each call of a layer that `functional` found between inputs and outputs."""
    return [node for nodes in graph._nodes_by_depth.values() for node in nodes]


def producer(tensor: Tensor) -> Any:
    """Returns the layer that computed a tensor of a graph."""
    return tensor._keras_history.operation


class Uses:
    """How often the tensors of a graph are read, its outputs included, and its layers called."""

    def __init__(self, graph: keras.Model) -> None:
        nodes = calls(graph)
        self._layers = Counter(id(node.operation) for node in nodes)
        read = [tensor for node in nodes for tensor in node.input_tensors]
        self._tensors = Counter(id(tensor) for tensor in (*read, *graph.outputs))

    def once(self, layer: Any) -> bool:
        return self._layers[id(layer)] == 1

    def only_reader(self, tensor: Tensor) -> bool:
        """Whether one call reads a tensor, and no output is it."""
        return self._tensors[id(tensor)] == 1
