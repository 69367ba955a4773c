"""Sets the weights of a model from a file: all of them, or none."""

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

NAMES = {"moving_mean": "mean", "moving_variance": "variance"}  # names of Keras: ours
STEM = f"{stem_conv(1)}/kernel"
HEAD_LAYERS = frozenset({POOL, rounding_of(POOL), LOGITS, rounding_of(LOGITS), PREDICTIONS})
HEAD = {
    f"{LOGITS}/kernel",
    f"{LOGITS}/bias",
    f"{rounding_of(POOL)}/range",
    f"{rounding_of(LOGITS)}/range",
}
# Layers that are identities in inference.
IDLE = frozenset({"Dropout", "SpatialDropout2D", "ActivityRegularization", "Identity"})
PADDING = "ZeroPadding2D"  # before strided convolutions; foreign networks pad in other ways
# Layers of foreign networks.
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
    """Sets the weights of a model from an open file.

    Args:
        model: the network, with or without its classifier.
        held: the file.
        spec: of the network in the file, from `held.settle`; None for files of this package.
        fresh_head: whether the classifier keeps its weights.
        backbone: whether the classifier, and layers with other names than those of this package,
            such as those of a detector around the network, keep their weights.

    Raises:
        ValueError: listing missing and left-over tensors, or another shape; no weight is changed.
    """
    if spec is None and held.source is not native.SOURCE:
        raise ValueError(
            f"{held.path} is a file of {held.source.name}: give the spec of {model.name}"
        )
    layers = [layer for layer in model.layers if not backbone or native.names(layer.name)]
    variables = {
        f"{layer.name}/{variable_name(weight)}": weight
        for layer in layers
        for weight in layer.weights
    }
    if fresh_head and variables.keys() & HEAD:
        log.warning("%s: the number of classes differs; the classifier is not loaded", held.path)
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
    """Returns our name of a variable: kernel, bias, gamma, beta, mean, variance or range."""
    return NAMES.get(weight.name, weight.name)


def _check(shapes: Shapes, held: Held) -> None:
    """Compares names and shapes before any array is read."""
    allowed = dict(shapes)
    if held.source is not native.SOURCE:  # biases are folded into the BN
        allowed |= {
            name.replace("/kernel", "/bias"): shape[-1:]
            for name, shape in shapes.items()
            if not name.startswith(f"{LOGITS}/") and name.endswith("/kernel")
        }
    missing = [name for name in shapes if name not in held.tensors and not held.implies(name)]
    left_over = [name for name in held.tensors if name not in allowed and name not in HEAD]
    if missing or left_over:
        raise ValueError(
            f"it contains another network: missing are {missing[:5] or 'none'}, left over are"
            f" {left_over[:5] or 'none'}"
        )
    for name in allowed.keys() & held.tensors.keys():
        found = held.tensors[name].shape
        expected = allowed[name]
        if found != expected and not (name == STEM and _but_channels(found, expected)):
            raise ValueError(f"{name} has shape {found} in the file, {expected} in the model")


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
            raise ValueError(
                f"{name} has shape {array.shape}, not {held.tensors[name].shape} as announced"
            )
    channels = shapes[STEM][2]  # it exists: names have been compared
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
    """Converts the first kernel to images of other channels, as timm does.

    For one channel the kernel is summed, so that grey images give the same result as in RGB.
    Otherwise it is repeated, and scaled by old channels / new channels.

    Args:
        kernel: float32 [height, width, channels, filters].
        channels: of the images.

    Returns:
        float32 [height, width, `channels`, filters].
    """
    old = kernel.shape[2]
    if channels == 1:
        return kernel.sum(axis=2, keepdims=True)
    repeated = np.tile(kernel, (1, 1, -(-channels // old), 1))[:, :, :channels]
    return repeated * np.float32(old / channels)


def check_layers(held: Held, model: keras.Model) -> None:
    """Refuses a file of a model with more layers than the network that is built from it.

    A model of a user that Keras saved can have more layers than a network of this package, such as
    a Rescaling before the stem. Without weights, a comparison of tensors does not show them.

    Raises:
        ValueError: naming the layers.
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
        more.append("max pooling instead of average pooling before its classifier")
    if more:
        raise ValueError(
            f"{held.path} contains a model with layers that this network does not have:"
            f" {', '.join(more[:5])}. They would be lost: save the network without them, and give"
            " preprocessing= for what they do to pixels"
        )
