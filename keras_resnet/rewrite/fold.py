"""Folds batch normalizations into convolutions: the same function in fewer, plain Keras layers.

A BN after a convolution computes gamma * (x - mean) / sqrt(variance + epsilon) + beta per filter.
The same result comes from a convolution with another kernel and a bias, if the BN is the only
reader of the convolution. In v2, normalizations that read the sum of branches do not follow a
convolution, and are kept.
"""

from typing import Any

import keras
import numpy as np
from keras import layers

from keras_resnet.layers import PadChannels
from keras_resnet.preprocessing.preprocessing import Preprocess
from keras_resnet.rewrite import graph
from keras_resnet.specs import LOGITS, POOL, PREDICTIONS

__all__ = ["fold"]

FULL_PRECISION = (POOL, LOGITS, PREDICTIONS)  # in float32, as in training


def fold(model: keras.Model, dtype: str = "float32") -> keras.Model:
    """Returns a model of plain Keras layers that computes the same as `model` in inference.

    Layers keep their names. Layers for training, such as the dropout of stochastic depth, are
    removed, and every process with Keras can load what `save` writes. A normalization is kept as a
    layer if it does not read a convolution, or is not its only reader.

    Args:
        model: a network of this package, or another functional model of layers, with one or several
            outputs, under any dtype policy.
        dtype: of weights and activations, such as "float16"; pooled features and logits are
            float32. Kernels are folded in float64 and rounded once.

    Returns:
        A model with the inputs and outputs of `model`, and `trainable` False.

    Raises:
        TypeError: if it is not a Keras model.
        ValueError: for a model without a graph, or with another model as a layer.
    """
    functional = graph.functional(model, "fold")
    norms = _foldable(functional)
    folded = {norm.name for norm in norms.values()}

    def plain(layer: Any) -> Any:
        return _plain(layer, dtype, folded=layer.name in folded)

    def call(layer: layers.Layer, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return inputs if isinstance(layer, layers.Identity) else layer(inputs, *args, **kwargs)

    result = keras.models.clone_model(functional, clone_function=plain, call_function=call)
    for layer in functional.layers:
        if layer.weights and layer.name not in folded:
            values = [_float64(weight) for weight in layer.weights]
            if type(layer) is layers.Conv2D:
                values = _folded(values, norms.get(layer.name))
            result.get_layer(layer.name).set_weights(values)
    result.trainable = False
    return result


def _plain(layer: Any, dtype: str, *, folded: bool) -> Any:
    """Returns the Keras layer that replaces a layer in the folded network."""
    if not isinstance(layer, layers.Layer):  # an operation, such as a sum of tensors
        return layer
    config = {**layer.get_config(), "dtype": _dtype(layer, dtype)}
    if folded or isinstance(layer, layers.Dropout):
        return layers.Identity(name=layer.name)
    if isinstance(layer, PadChannels):
        return _pad_channels(layer, config["dtype"])
    if isinstance(layer, layers.BatchNormalization):
        return layers.BatchNormalization.from_config(config)
    if type(layer) is layers.Conv2D:  # a subclass may compute something else
        config["use_bias"] = True
    return layer.__class__.from_config(config)


def _foldable(functional: keras.Model) -> dict[str, layers.BatchNormalization]:
    """Returns the normalizations that can be folded, by the names of their convolutions."""
    uses = graph.Uses(functional)
    found = {}
    for node in graph.calls(functional):
        norm = node.operation
        if not isinstance(norm, layers.BatchNormalization) or not uses.once(norm):
            continue
        (tensor,) = node.input_tensors
        conv = graph.producer(tensor)
        if (
            type(conv) is layers.Conv2D
            and uses.once(conv)
            and uses.only_reader(tensor)
            and conv.activation is keras.activations.linear
            and norm.axis in ((-1, 3) if conv.data_format == "channels_last" else (1, -3))
        ):
            found[conv.name] = norm
    return found


def _dtype(layer: layers.Layer, dtype: str) -> str:
    full = layer.name in FULL_PRECISION or isinstance(layer, Preprocess)
    return "float32" if full else dtype


def _pad_channels(layer: PadChannels, dtype: str) -> layers.Layer:
    """Pads the last axis with a layer of Keras that treats the channels as columns."""
    padding = ((0, 0), (layer.before, layer.after))
    return layers.ZeroPadding2D(padding, data_format="channels_first", dtype=dtype, name=layer.name)


def _folded(
    values: list[np.ndarray[Any, Any]], norm: layers.BatchNormalization | None
) -> list[np.ndarray[Any, Any]]:
    """Returns kernel and bias, in float64, of a convolution and the BN after it, if any."""
    kernel = values[0]
    bias = values[1] if len(values) > 1 else np.zeros(kernel.shape[-1])
    if norm is None:
        return [kernel, bias]
    gamma = 1.0 if norm.gamma is None else _float64(norm.gamma)
    beta = 0.0 if norm.beta is None else _float64(norm.beta)
    mean, variance = _float64(norm.moving_mean), _float64(norm.moving_variance)
    scale = gamma / np.sqrt(variance + norm.epsilon)
    return [kernel * scale, beta + (bias - mean) * scale]


def _float64(weight: Any) -> np.ndarray[Any, Any]:
    return np.asarray(keras.ops.convert_to_numpy(weight), np.float64)
