"""Folds batch normalizations into convolutions: the same function in fewer, plain Keras layers.

A BN after a convolution computes gamma * (x - mean) / sqrt(variance + epsilon) + beta of each
filter, which is another kernel and a bias. In v2 the normalizations that read a sum of branches
stand before a ReLU and after no convolution of their own; these stay.
"""

from typing import Any

import keras
import numpy as np
from keras import layers

from keras_resnet.layers import PadChannels

FULL_PRECISION = ("pool", "logits", "predictions")  # worth 32 bits, as in training


def fold(model: keras.Model, dtype: str = "float32") -> keras.Model:
    """Returns a model of plain Keras layers that computes what `model` does when it is not trained.

    Layers keep their names. What only training needs, as the dropout of stochastic depth, is gone,
    and any process that has Keras can load what `save` writes of it.

    Args:
        model: a network of this package, of one output or several, under any dtype policy.
        dtype: of weights and activations; pooled features and logits are float32. Kernels are
            folded in float64 and rounded once.
    """
    folded = {f"{layer.name}_bn" for layer in model.layers if isinstance(layer, layers.Conv2D)}
    norms = {layer.name: layer for layer in model.layers if layer.name in folded}

    def plain(layer: layers.Layer) -> layers.Layer:
        config = {**layer.get_config(), "dtype": _dtype(layer, dtype)}
        if layer.name in norms or isinstance(layer, layers.Dropout):
            return layers.Identity(name=layer.name)
        if isinstance(layer, PadChannels):
            return _pad_channels(layer, config["dtype"])
        if isinstance(layer, layers.BatchNormalization):
            return layers.BatchNormalization.from_config(config)
        if isinstance(layer, layers.Conv2D):
            config["use_bias"] = True
        return layer.__class__.from_config(config)

    def call(layer: layers.Layer, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return inputs if isinstance(layer, layers.Identity) else layer(inputs, *args, **kwargs)

    functional = keras.Model(model.input, model.output, name=model.name)
    result = keras.models.clone_model(functional, clone_function=plain, call_function=call)
    for layer in model.layers:
        if layer.weights and layer.name not in norms:
            values = [np.asarray(keras.ops.convert_to_numpy(w), np.float64) for w in layer.weights]
            if isinstance(layer, layers.Conv2D):
                values = _folded(values, norms.get(f"{layer.name}_bn"))
            result.get_layer(layer.name).set_weights(values)
    result.trainable = False
    return result


def _dtype(layer: layers.Layer, dtype: str) -> str:
    return "float32" if layer.name in FULL_PRECISION else dtype


def _pad_channels(layer: PadChannels, dtype: str) -> layers.Layer:
    """Pads the last axis with a layer that Keras has: to it, channels look like columns."""
    padding = ((0, 0), (layer.before, layer.after))
    return layers.ZeroPadding2D(padding, data_format="channels_first", dtype=dtype, name=layer.name)


def _folded(
    values: list[np.ndarray[Any, Any]], norm: layers.BatchNormalization | None
) -> list[np.ndarray[Any, Any]]:
    """Returns kernel and bias of a convolution and the BN after it, if there is one; float64."""
    kernel, bias = values[0], values[1] if len(values) > 1 else np.zeros(values[0].shape[-1])
    if norm is None:
        return [kernel, bias]
    gamma, beta, mean, variance = (
        np.asarray(keras.ops.convert_to_numpy(weight), np.float64)
        for weight in (norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance)
    )
    scale = gamma / np.sqrt(variance + norm.epsilon)
    return [kernel * scale, beta + (bias - mean) * scale]
