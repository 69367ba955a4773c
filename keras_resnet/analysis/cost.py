"""The cost of a network: parameters, multiply-adds, and additions of shortcuts."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import keras
from keras import layers

from keras_resnet import family
from keras_resnet.rewrite import graph
from keras_resnet.rewrite.int8 import FakeQuantize, Scale

__all__ = ["Cost", "cost", "image_size", "multiply_adds"]


class Cost(NamedTuple):
    """The cost of one image; multiply-adds are called FLOPs in Table 1 of arXiv:1512.03385."""

    parameters: int  # trainable ones, without the moving statistics of BN
    multiply_adds: int  # of convolutions and the classifier
    additions: int  # layers that add a branch and its shortcut
    convolutions: int


def cost(model: keras.Model, image_shape: Sequence[int] | None = None) -> Cost:
    """Counts parameters, multiply-adds, and additions of shortcuts.

    Args:
        model: a functional model of convolutions, batch normalizations and dense layers.
        image_shape: (height, width, channels), or (height, width). By default that of the model's
            input, of its manifest, or of the published network that is nearest to it.

    Raises:
        TypeError: if it is not a Keras model.
        ValueError: if the size of an image is unknown, for weights of an unknown kind of layer, and
            for a model with another model as a layer.
    """
    functional = graph.functional(model, "cost")
    weighted = [layer for layer in functional.layers if layer.weights]
    known = (layers.Conv2D, layers.Dense, layers.BatchNormalization, FakeQuantize, Scale)
    unknown = [layer.name for layer in weighted if not isinstance(layer, known)]
    if unknown:
        raise ValueError(f"cannot count the multiply-adds of {', '.join(unknown)}")
    return Cost(
        parameters=sum(math.prod(w.shape) for w in model.trainable_weights),
        multiply_adds=sum(multiply_adds(functional, image_size(model, image_shape)).values()),
        additions=sum(isinstance(layer, layers.Add) for layer in functional.layers),
        convolutions=sum(isinstance(layer, layers.Conv2D) for layer in weighted),
    )


def image_size(model: keras.Model, shape: Sequence[int] | None) -> list[int]:
    """Returns height and width of the images of a model, as `cost` explains.

    Raises:
        ValueError: if the size is unknown, and for a model with another input than one image.
    """
    if len(model.inputs) != 1 or len(model.inputs[0].shape) != 4:
        raise ValueError(f"cost needs a model with one image as input, got {model.input_shape}")
    size = list(shape or model.inputs[0].shape[1:])[:2]
    if None not in size:
        return size
    manifest = getattr(model, "manifest", None)
    if manifest and all(manifest.image_shape[:2]):
        return list(manifest.image_shape[:2])
    spec = getattr(model, "spec", None)
    if spec is None:
        raise ValueError(f"image_shape is needed: the input of {model.name} is {model.input_shape}")
    network, _ = family.nearest(spec)
    return [family.PUBLISHED[network].image_size] * 2


def multiply_adds(functional: keras.Model, size: Sequence[int]) -> dict[int, int]:
    """Counts multiply-adds for one image: the size of the output times the inputs per filter.

    Args:
        functional: a graph, as `graph.functional` returns it.
        size: height and width of the image.

    Returns:
        Counts of the calls of convolutions and dense layers, by the id of the output tensor.
    """
    kinds = layers.Conv2D, layers.Dense
    weighted = [node for node in graph.calls(functional) if isinstance(node.operation, kinds)]
    outputs = [node.outputs[0] for node in weighted]
    shapes = graph.shapes(functional, outputs, (*size, functional.inputs[0].shape[-1]))
    return {
        id(node.outputs[0]): math.prod(shape[1:]) * math.prod(node.operation.kernel.shape[:-1])
        for node, shape in zip(weighted, shapes, strict=True)
    }
