"""Puts the weights of a file into a model: all of them, each once, or none."""

import logging
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_resnet.specs import LOGITS, POOL, PREDICTIONS, Spec, rounding_of, stem_conv
from keras_resnet.weights.biases import EPSILON, Weights, fold
from keras_resnet.weights.file import Held
from keras_resnet.weights.formats.containers import reading
from keras_resnet.weights.sources import native

__all__ = ["check_layers", "fill", "with_channels"]

NAMES = {"moving_mean": "mean", "moving_variance": "variance"}  # Keras's to ours
STEM = f"{stem_conv(1)}/kernel"
HEAD_LAYERS = frozenset({POOL, rounding_of(POOL), LOGITS, rounding_of(LOGITS), PREDICTIONS})
HEAD = {
    f"{LOGITS}/kernel",
    f"{LOGITS}/bias",
    f"{rounding_of(POOL)}/range",
    f"{rounding_of(LOGITS)}/range",
}
# Layers that change nothing outside of training.
IDLE = frozenset({"Dropout", "SpatialDropout2D", "ActivityRegularization", "Identity"})
PADDING = "ZeroPadding2D"  # of a convolution that strides; networks of others pad in other ways
# What the networks of other sources are made of.
KINDS = IDLE | {
    PADDING,
    "Activation",
    "Add",
    "AveragePooling2D",
    "BatchNormalization",
    "Conv2D",
    "Dense",
    "Flatten",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling2D",
    "MaxPooling2D",
    "ReLU",
}
Shapes = Mapping[str, tuple[int, ...]]
log = logging.getLogger("keras_resnet")


def fill(
    model: keras.Model,
    held: Held,
    spec: Spec | None,
    *,
    fresh_head: bool = False,
    backbone: bool = False,
) -> None:
    """Fills a model from an open file.

    Args:
        model: the network, with or without its classifier.
        held: the file; its spec has been checked.
        spec: of the network in the file; not needed for files of this package.
        fresh_head: whether the classifier stays as it is.
        backbone: whether the classifier and all layers that this package does not name stay as they
            are, such as those of a detector around the network.

    Raises:
        ValueError: listing what is missing, left over, or of another shape; nothing is changed.
    """
    if spec is None and held.source is not native.SOURCE:
        raise ValueError(f"{held.path} is of {held.source.name}: give the spec of {model.name}")
    layers = [layer for layer in model.layers if not backbone or native.names(layer.name)]
    variables = {
        f"{layer.name}/{variable_name(weight)}": weight
        for layer in layers
        for weight in layer.weights
    }
    if fresh_head and variables.keys() & HEAD:
        log.warning("%s: the classifier stays fresh, its classes are others", held.path)
    if fresh_head or backbone:
        variables = {name: weight for name, weight in variables.items() if name not in HEAD}
    shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
    with reading(held.path):
        _check(shapes, held)
        weights = _read(shapes, held)
        if held.source is not native.SOURCE and spec:
            fold(weights, spec, held.source.epsilon)
        _check_numbers(weights)
    for name, variable in variables.items():
        variable.assign(weights[name])
    if held.source.frozen_norms:
        for layer in layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False


def variable_name(weight: keras.Variable) -> str:
    """Returns our name of a variable: "kernel", "bias", "gamma", "beta", "mean", "variance"."""
    return NAMES.get(weight.name, weight.name)


def _check(shapes: Shapes, held: Held) -> None:
    """Compares names and shapes before a number is read."""
    allowed = dict(shapes)
    if held.source is not native.SOURCE:  # a bias before a BN is folded into it
        allowed |= {
            name.replace("/kernel", "/bias"): shape[-1:]
            for name, shape in shapes.items()
            if not name.startswith(f"{LOGITS}/") and name.endswith("/kernel")
        }
    missing = [name for name in shapes if name not in held.tensors and not held.implies(name)]
    left_over = [name for name in held.tensors if name not in allowed and name not in HEAD]
    if missing or left_over:
        raise ValueError(
            f"it holds another network: it lacks {missing[:5] or 'nothing'}, and has"
            f" {left_over[:5] or 'nothing'} left over"
        )
    for name in allowed.keys() & held.tensors.keys():
        found = held.tensors[name].shape
        expected = allowed[name]
        if found != expected and not (name == STEM and _but_channels(found, expected)):
            raise ValueError(f"{name} has shape {found} there, {expected} here")


def _but_channels(found: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    return found[:2] == expected[:2] and found[3:] == expected[3:] and len(found) == 4


def _read(shapes: Shapes, held: Held) -> Weights:
    weights = {
        name: tensor.read()
        for name, tensor in held.tensors.items()
        if name in shapes or name not in HEAD
    }
    for name, array in weights.items():
        if array.shape != held.tensors[name].shape:
            raise ValueError(f"{name} has shape {array.shape}, and not what it seemed to have")
    channels = shapes[STEM][2]  # the stem is there: the names have been compared
    if channels != weights[STEM].shape[2]:
        log.warning("%s: adapted to images of %d channels", held.path, channels)
        weights[STEM] = with_channels(weights[STEM], channels)
    return weights


def _check_numbers(weights: Weights) -> None:
    for name, array in weights.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name} is not finite")
        if name.endswith("/variance") and array.min(initial=0) < -EPSILON:
            raise ValueError(f"{name} is negative")


def with_channels(kernel: np.ndarray[Any, Any], channels: int) -> np.ndarray[Any, Any]:
    """Fits a stem [height, width, channels, filters] to images of other channels, as timm does.

    One channel gets the sum, so that grey images give what they gave as RGB; more channels
    repeat the kernel, scaled by their number.
    """
    old = kernel.shape[2]
    if channels == 1:
        return kernel.sum(axis=2, keepdims=True)
    repeated = np.tile(kernel, (1, 1, -(-channels // old), 1))[:, :, :channels]
    return repeated * np.float32(old / channels)


def check_layers(held: Held, model: keras.Model) -> None:
    """Refuses a file whose model has layers that the network built from it lacks.

    A model that a user built and Keras saved can hold more than a network of this package, such as
    a Rescaling before the stem or another activation after it. Such layers have no weights that
    would be missed.

    Raises:
        ValueError: naming them.
    """
    graph = held.evidence.graph
    present = {layer.name for layer in model.layers} | HEAD_LAYERS | {graph.classifier}
    own = held.source is native.SOURCE
    more = [
        f"{name} ({kind})"
        for name, kind in graph.layers.items()
        if (name not in present and kind not in IDLE | {PADDING} if own else kind not in KINDS)
    ]
    if held.classes and "GlobalMaxPooling2D" in graph.layers.values():
        more.append("a maximum in place of the average before its classifier")
    if more:
        raise ValueError(
            f"{held.path} holds a model with layers that are not of this network:"
            f" {', '.join(more[:5])}. What they compute would be left out: save the network alone,"
            " and say by preprocessing= what is done to pixels before it"
        )
