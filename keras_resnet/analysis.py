"""What a network costs."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
from keras import layers

from keras_resnet.family import FAMILY


class Cost(NamedTuple):
    """The cost of one image; multiply-adds are what the paper's Table 1 calls FLOPs."""

    parameters: int  # trainable; BN's moving statistics are not
    multiply_adds: int  # of convolutions and classifier
    additions: int  # of a branch to its shortcut
    convolutions: int


def cost(model: keras.Model, image_shape: Sequence[int] | None = None) -> Cost:
    """Counts parameters, multiply-adds, and the additions of shortcuts.

    Args:
        model: of convolutions, batch normalizations and dense layers.
        image_shape: (height, width, channels), or only the first two; by default what the
            model's input says, or what the paper's numbers hold for if it says nothing.

    Raises:
        ValueError: if the size of an image is unknown or a layer cannot be counted.
    """
    weighted = [layer for layer in model.layers if layer.weights]
    convs = [layer for layer in weighted if isinstance(layer, layers.Conv2D)]
    known = (layers.Conv2D, layers.Dense, layers.BatchNormalization)
    unknown = [layer.name for layer in weighted if not isinstance(layer, known)]
    if unknown:
        raise ValueError(f"cannot count the multiply-adds of {', '.join(unknown)}")

    pixels = _output_pixels(model, convs, image_shape)
    dense = [layer for layer in weighted if isinstance(layer, layers.Dense)]
    return Cost(
        parameters=sum(math.prod(w.shape) for w in model.trainable_weights),
        multiply_adds=sum(n * math.prod(c.kernel.shape) for n, c in zip(pixels, convs, strict=True))
        + sum(math.prod(layer.kernel.shape) for layer in dense),
        additions=sum(isinstance(layer, layers.Add) for layer in model.layers),
        convolutions=len(convs),
    )


def _output_pixels(model: keras.Model, convs: list[Any], shape: Sequence[int] | None) -> list[int]:
    size = list(shape or model.input_shape[1:])[:2]
    if None in size and model.name in FAMILY:
        size = [FAMILY[model.name].image_size] * 2
    if None in size:
        raise ValueError(f"image_shape is needed: the input of {model.name} is {model.input_shape}")
    maps = keras.Model(model.inputs, [conv.output for conv in convs])
    shapes = maps.compute_output_shape((1, *size, model.input_shape[-1]))
    return [rows * columns for _, rows, columns, _ in shapes]
