"""Checks of arguments that functions of this room share, and the tensors that they name."""

import difflib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import KerasTensor as Tensor, ops

from keras_resnet.network import ResidualNetwork
from keras_resnet.rewrite import graph
from keras_resnet.specs import LOGITS, positive

__all__ = ["batches", "classes_of", "fed", "logits_of", "tensor_of"]


def fed(functional: keras.Model, images: Any) -> dict[int, Any]:
    """Returns the images as a tensor, by the id of the input of a graph.

    Args:
        functional: a graph, as `graph.functional` returns it.
        images: [batch, height, width, channels] of any dtype.

    Raises:
        ValueError: for images of another shape than that of the input, and without images.
    """
    (image,) = functional.inputs
    values = ops.convert_to_tensor(images, dtype=image.dtype)
    pairs = zip(image.shape[1:], values.shape[1:], strict=False)
    fits = len(values.shape) == len(image.shape) and all(one in (None, two) for one, two in pairs)
    if not fits or not values.shape[0]:
        sizes = ", ".join("any" if size is None else str(size) for size in image.shape[1:])
        raise ValueError(
            f"images for {functional.name} must be [batch, {sizes}], got {list(values.shape)}"
        )
    return {id(image): values}


def batches(functional: keras.Model, images: Any, size: int) -> Iterator[dict[int, Any]]:
    """Yields what `fed` returns for consecutive parts of images, at most `size` in each.

    Raises:
        ValueError: as `fed`, and for a size that is not positive.
    """
    count = positive("batch_size", size)
    for start in range(0, max(len(images), 1), count):
        yield fed(functional, images[start : start + count])


def classes_of(name: str, values: Any, images: int, outputs: int) -> np.ndarray[Any, Any]:
    """Returns a class per image as int64 [images].

    Args:
        name: of the argument, for errors.
        values: integers of any type, in an array, a tensor or a list.
        images: number of images.
        outputs: number of classes.

    Raises:
        ValueError: for other values than one integer per image, in the range of the classes.
    """
    chosen = np.asarray(ops.convert_to_numpy(values) if ops.is_tensor(values) else values)
    if chosen.shape != (images,) or chosen.dtype.kind not in "iu":
        raise ValueError(f"{name} must be one integer per image, for {images} images")
    if chosen.min() < 0 or chosen.max() >= outputs:
        raise ValueError(f"{name} must be in 0..{outputs - 1}, got {chosen.tolist()}")
    return chosen.astype("int64")


def logits_of(functional: keras.Model, wanted: str) -> Tensor:
    """Returns the logits of a graph.

    Raises:
        ValueError: for a graph without a layer named logits; `wanted` names the operation.
    """
    for node in graph.calls(functional):
        if node.operation.name == LOGITS:
            return node.outputs[0]
    raise ValueError(f"{wanted} needs a classifier: {functional.name} has no layer {LOGITS}")


def tensor_of(model: keras.Model, functional: keras.Model, layer: str) -> Tensor:
    """Returns the output of a layer, a feature map.

    Args:
        model: the model.
        functional: its graph.
        layer: name of a layer, or of an endpoint of a network of this package.

    Raises:
        ValueError: for a name that is neither, and for an output without positions.
    """
    endpoints = model.endpoints if isinstance(model, ResidualNetwork) and model._spec else {}
    outputs = {node.operation.name: node.outputs[0] for node in graph.calls(functional)}
    name = endpoints.get(layer, layer)
    if name not in outputs:
        near = difflib.get_close_matches(str(layer), [*endpoints, *outputs], 3)
        known = " or ".join(near or endpoints or list(outputs)[:3])
        raise ValueError(f"{functional.name} has no layer or endpoint {layer!r}; known is {known}")
    if len(outputs[name].shape) != 4:
        raise ValueError(f"{name} has no feature map: its output is {outputs[name].shape}")
    return outputs[name]
