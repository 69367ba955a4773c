"""The memory that a network needs at least, from its graph; docs/training.md measures it."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_resnet.rewrite import graph

__all__ = ["kept_bytes", "kept_tensors", "output_bytes", "variable_bytes", "widest_bytes"]


def variable_bytes(variables: Iterable[Any]) -> int:
    """Returns the bytes of variables."""
    return sum(math.prod(v.shape) * _size(v.dtype) for v in variables)


def kept_bytes(model: keras.Model, image_shape: Sequence[int], *, recomputed: bool = False) -> int:
    """Returns the bytes per image that are kept from the forward to the backward pass.

    Gradients need the input of each trainable convolution, dense layer and normalization, the
    output of each ReLU, and the input and output of each max pooling. Each tensor counts once, in
    the compute dtype of the layer that reads it. Before the first trainable layer nothing is kept.

    Args:
        model: a functional model of layers of this package; `layer.trainable` is respected.
        image_shape: (height, width, channels).
        recomputed: whether XLA recomputes tensors that do not need convolutions; then only the
            others count.
    """
    functional = graph.functional(model, "kept_bytes")
    return sum(kept_tensors(functional, image_shape, recomputed=recomputed).values())


def kept_tensors(
    functional: keras.Model, image_shape: Sequence[int], *, recomputed: bool = False
) -> dict[int, int]:
    """Returns the bytes per image of each tensor that `kept_bytes` counts, by its id.

    Args:
        functional: a graph, as `graph.functional` returns it.
        image_shape: (height, width, channels).
        recomputed: as in `kept_bytes`.
    """
    kept: dict[int, tuple[Any, str]] = {}  # tensors and dtypes
    reached: set[int] = set()  # tensors that depend on weights that learn
    for node in graph.calls(functional):
        layer = node.operation
        inputs = node.input_tensors
        outputs = node.outputs
        learns = bool(layer.trainable_weights)
        flows = learns or any(id(tensor) in reached for tensor in inputs)
        if flows:
            reached.update(map(id, outputs))
        needed: list[Any] = []
        if isinstance(layer, layers.BatchNormalization) and learns:
            needed = inputs
        elif recomputed:
            continue
        elif isinstance(layer, layers.Conv2D | layers.Dense) and learns:
            needed = inputs
        elif isinstance(layer, layers.Activation | layers.ReLU) and flows:
            needed = outputs
        elif isinstance(layer, layers.MaxPooling2D) and flows:
            needed = [*inputs, *outputs]
        kept |= {id(tensor): (tensor, layer.compute_dtype) for tensor in needed}
    return dict(zip(kept, output_bytes(functional, list(kept.values()), image_shape), strict=True))


def widest_bytes(model: keras.Model, image_shape: Sequence[int]) -> int:
    """Returns the bytes per image of the largest input and output of a convolution."""
    functional = graph.functional(model, "widest_bytes")
    convs = [node for node in graph.calls(functional) if isinstance(node.operation, layers.Conv2D)]
    dtypes = [node.operation.compute_dtype for node in convs]
    ends = [
        output_bytes(functional, list(zip(tensors, dtypes, strict=True)), image_shape)
        for tensors in ([n.input_tensors[0] for n in convs], [n.outputs[0] for n in convs])
    ]
    return max(map(sum, zip(*ends, strict=True)), default=0)


def output_bytes(
    functional: keras.Model, tensors: Sequence[tuple[Any, str]], image_shape: Sequence[int]
) -> list[int]:
    """Returns the bytes per image of tensors of a graph, each with the dtype that it is kept in."""
    shapes = graph.shapes(functional, [tensor for tensor, _ in tensors], image_shape)
    sizes = [math.prod(shape[1:]) for shape in shapes]
    return [size * _size(dtype) for size, (_, dtype) in zip(sizes, tensors, strict=True)]


def _size(dtype: str) -> int:
    return 2 if dtype in ("bfloat16", "float16") else np.dtype(dtype).itemsize
