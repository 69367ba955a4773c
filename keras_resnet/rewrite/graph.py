"""The graph of a functional model: calls of layers, and the tensors between them."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras import KerasTensor as Tensor

from keras_resnet.network import check_flat

__all__ = ["Node", "Uses", "calls", "evaluate", "functional", "producer", "shapes"]

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
    """Returns all calls of layers between the inputs and outputs of `functional`.

    They are in an order of computation: each call follows those whose outputs it reads.
    """
    depths = graph._nodes_by_depth
    nodes = [node for depth in sorted(depths, reverse=True) for node in depths[depth]]
    return [node for node in nodes if not node.is_input]


def producer(tensor: Tensor) -> Any:
    """Returns the layer that computed a tensor of a graph."""
    return tensor._keras_history.operation


def shapes(
    graph: keras.Model, tensors: Sequence[Tensor], image_shape: Sequence[int]
) -> list[tuple[int, ...]]:
    """Returns the shapes of tensors of a graph for one image (height, width, channels)."""
    if not tensors:
        return []
    if tuple(graph.inputs[0].shape[1:]) == tuple(image_shape):
        return [(1, *tensor.shape[1:]) for tensor in tensors]
    return keras.Model(graph.inputs, list(tensors)).compute_output_shape((1, *image_shape))


def _call(operation: Any, *args: Any, **kwargs: Any) -> Any:
    return operation(*args, **kwargs)


def evaluate(
    graph: keras.Model,
    known: Mapping[int, Any],
    wanted: Tensor,
    call: Callable[..., Any] = _call,
) -> Any:
    """Computes a tensor of a graph from others, which need not be its inputs.

    Only the layers between them are called. A value is dropped when its last reader is done.

    Args:
        graph: of `functional`.
        known: values of tensors, by the ids of the tensors; `wanted` follows from them.
        wanted: the tensor to compute.
        call: calls a layer with its arguments, and may change arguments and result.

    Returns:
        The value of `wanted`.
    """
    producers = {id(tensor): node for node in calls(graph) for tensor in node.outputs}
    needed: set[int] = set()
    pending = [wanted]
    while pending:
        tensor = pending.pop()
        if id(tensor) not in known and id(tensor) not in needed:
            needed.update(map(id, producers[id(tensor)].outputs))
            pending += producers[id(tensor)].input_tensors
    nodes = [node for node in calls(graph) if id(node.outputs[0]) in needed]
    readers = Counter([id(tensor) for node in nodes for tensor in node.input_tensors])
    readers[id(wanted)] += 1
    values = dict(known)
    for node in nodes:
        args, kwargs = node.arguments.fill_in(values)
        outputs = keras.tree.flatten(call(node.operation, *args, **kwargs))
        values.update(zip(map(id, node.outputs), outputs, strict=True))
        for tensor in node.input_tensors:
            readers[id(tensor)] -= 1
            if not readers[id(tensor)]:
                values.pop(id(tensor), None)
    return values[id(wanted)]


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
