"""Receptive fields: which pixels of the image each output of a layer depends on, by formula.

Sizes and strides follow from kernels, strides and padding alone (Araujo, Norris and Sim, "Computing
Receptive Fields of Convolutional Neural Networks", Distill 2019). Where branch and shortcut are
added, the field is the smallest interval that holds both.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
from keras import layers

from keras_resnet.layers import PadChannels
from keras_resnet.rewrite import graph
from keras_resnet.rewrite.int8 import FakeQuantize, Scale

__all__ = ["Field", "receptive_fields"]

SAME = (
    layers.Activation,
    layers.BatchNormalization,
    layers.Dropout,
    layers.Identity,
    layers.ReLU,
    FakeQuantize,
    PadChannels,
    Scale,
)  # an output depends on the input at its own position
POOLS = (layers.AveragePooling2D, layers.MaxPooling2D)


class Field(NamedTuple):
    """The receptive field along one axis, in pixels.

    Output i depends on the `size` pixels from `start + stride * i` on; those outside of the image
    are padding.
    """

    size: int
    stride: int
    start: int

    def through(self, window: int, stride: int, before: int) -> "Field":
        """Returns the field of windows over these outputs, with `before` of padding."""
        return Field(
            self.size + (window - 1) * self.stride,
            self.stride * stride,
            self.start - before * self.stride,
        )


PIXEL = Field(size=1, stride=1, start=0)
Fields = tuple[Field, Field]  # along height and width


def receptive_fields(
    functional: keras.Model, image_shape: Sequence[int]
) -> dict[int, Fields | None]:
    """Returns the receptive field of each tensor of a graph.

    Args:
        functional: a graph, as `graph.functional` returns it, of channels-last layers.
        image_shape: (height, width, channels), on which TensorFlow's `same` padding depends.

    Returns:
        Fields along height and width by the id of the tensor; None for tensors without positions,
        as after global pooling, which depend on the whole image.

    Raises:
        ValueError: for a layer of which the field is unknown, naming it.
    """
    nodes = graph.calls(functional)
    inputs = [node.input_tensors[0] for node in nodes]
    sizes = [shape[1:3] for shape in graph.shapes(functional, inputs, image_shape)]
    found: dict[int, Fields | None] = {id(functional.inputs[0]): (PIXEL, PIXEL)}
    for node, size in zip(nodes, sizes, strict=True):
        fields = [found[id(tensor)] for tensor in node.input_tensors]
        for output in node.outputs:
            flat = len(output.shape) != 4
            found[id(output)] = None if flat else _fields(node.operation, fields, size)
    return found


def _fields(layer: Any, inputs: list[Any], size: Sequence[int]) -> Fields:
    if isinstance(layer, layers.Add):
        return _merged(layer, inputs, 0), _merged(layer, inputs, 1)
    (field,) = inputs
    if isinstance(layer, SAME):
        return field
    windows = _windows(layer, size)
    height, width = (one.through(*window) for one, window in zip(field, windows, strict=True))
    return height, width


def _merged(layer: Any, inputs: list[Fields], axis: int) -> Field:
    along = [fields[axis] for fields in inputs]
    strides = {field.stride for field in along}
    if len(strides) > 1:
        raise ValueError(f"{layer.name} adds tensors of different strides, {sorted(strides)}")
    start = min(field.start for field in along)
    end = max(field.start + field.size for field in along)
    return Field(end - start, strides.pop(), start)


def _windows(layer: Any, size: Sequence[int]) -> list[tuple[int, int, int]]:
    """Returns window, stride and padding before the first position, along height and width."""
    if isinstance(layer, layers.ZeroPadding2D):
        first, second = layer.padding
        if layer.data_format == "channels_last":
            return [(1, 1, first[0]), (1, 1, second[0])]
        if first == (0, 0):  # as `fold` pads channels: height, width, channels are read as c, h, w
            return [(1, 1, 0), (1, 1, 0)]
    elif getattr(layer, "data_format", None) == "channels_last":
        if isinstance(layer, layers.Conv2D):
            rates = zip(layer.kernel_size, layer.dilation_rate, strict=True)
            windows = [(kernel - 1) * rate + 1 for kernel, rate in rates]
            return _padded(windows, layer, size)
        if isinstance(layer, POOLS):
            return _padded(layer.pool_size, layer, size)
    raise ValueError(
        f"the receptive field of {layer.name} is unknown: {type(layer).__name__} is no layer of"
        " channels-last residual networks"
    )


def _padded(windows: Sequence[int], layer: Any, size: Sequence[int]) -> list[tuple[int, int, int]]:
    found = []
    for window, stride, length in zip(windows, layer.strides, size, strict=True):
        outputs = -(-length // stride)
        missing = max((outputs - 1) * stride + window - length, 0)
        found.append((window, stride, missing // 2 if layer.padding == "same" else 0))
    return found
