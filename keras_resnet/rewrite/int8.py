"""Networks that round as int8 does while they learn, so that they lose little when int8 comes.

Kernels and activations stay float32, but take only the 255 or 256 values that TFLite's int8
kernels have (Jacob et al., arXiv:1712.05877): kernels symmetric for each filter, activations of a
tensor in one range, which moves with what is seen in training. Gradients pass rounding as if it
were not there. Only TensorFlow has these roundings, and only they tell its converter the ranges.
"""

from dataclasses import replace
from typing import Any

import keras
import numpy as np
from keras import KerasTensor as Tensor, layers, ops

from keras_resnet.network import ResidualNetwork, first_layer, spec_of
from keras_resnet.rewrite.fold import fold
from keras_resnet.specs import IMAGE, rounding_of, scale_of

__all__ = ["FakeQuantize", "QuantizedConv2D", "QuantizedDense", "Scale", "precision", "quantized"]

MOMENTUM = 0.99
# The narrowest range, since int8 has no scale of 0.
NARROWEST = 1e-3
# A filter that is nothing beside its bias, as after a gamma of 0, would have a scale so small that
# TFLite's int32 bias overflows.
BESIDE_BIAS = 2.0**-12


@keras.saving.register_keras_serializable("keras_resnet")
class FakeQuantize(layers.Layer):
    """Rounds a tensor of any shape to 256 values between a least and a greatest, 0 among them.

    In training the range is the moving average of the extremes of each batch; the first batch sets
    it, and before it outputs are NaN. The range also moves in frozen parts.
    """

    def build(self, input_shape: Any) -> None:
        unseen = keras.initializers.Constant(float("nan"))
        self.range = self.add_weight(
            name="range", shape=(2,), initializer=unseen, trainable=False, autocast=False
        )
        super().build(input_shape)

    def call(self, inputs: Tensor, training: bool | None = None, observe: bool = True) -> Tensor:
        """With `observe=False` the range stays, for what has to have the range of another."""
        import tensorflow as tf  # deferred: the library also runs where TensorFlow is absent

        extent = tf.convert_to_tensor(self.range)
        if training and observe:
            low = tf.minimum(tf.reduce_min(inputs), 0.0)
            high = tf.maximum(tf.reduce_max(inputs), tf.maximum(low + NARROWEST, 0.0))
            seen = tf.stop_gradient(tf.stack([low, high]))
            moved = extent * MOMENTUM + seen * (1.0 - MOMENTUM)
            extent = tf.where(tf.math.is_nan(extent), seen, moved)
            self.range.assign(extent)
        return tf.quantization.fake_quant_with_min_max_vars(inputs, extent[0], extent[1])

    def compute_output_shape(self, input_shape: tuple[Any, ...]) -> tuple[Any, ...]:
        return input_shape


def _rounded(kernel: Any, bias: Any, *, per_filter: bool) -> Any:
    """Rounds a kernel to the 255 values of each filter, or of all together."""
    import tensorflow as tf

    kernel, bias = tf.convert_to_tensor(kernel), tf.convert_to_tensor(bias)
    axes = list(range(kernel.shape.rank - 1))
    extent = tf.maximum(tf.reduce_max(tf.abs(kernel), axes), BESIDE_BIAS * tf.abs(bias))
    extent = tf.stop_gradient(tf.maximum(extent, NARROWEST * BESIDE_BIAS))
    if per_filter:
        return tf.quantization.fake_quant_with_min_max_vars_per_channel(
            kernel, -extent, extent, narrow_range=True
        )
    largest = tf.reduce_max(extent)
    return tf.quantization.fake_quant_with_min_max_vars(
        kernel, -largest, largest, narrow_range=True
    )


@keras.saving.register_keras_serializable("keras_resnet")
class QuantizedConv2D(layers.Conv2D):
    """A convolution with a bias whose kernel is rounded to int8, each filter with its scale."""

    def convolution_op(self, inputs: Tensor, kernel: Any) -> Tensor:
        return super().convolution_op(inputs, _rounded(kernel, self.bias, per_filter=True))


@keras.saving.register_keras_serializable("keras_resnet")
class QuantizedDense(layers.Dense):
    """A classifier whose kernel is rounded to int8, all of it with one scale."""

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:  # noqa: ARG002
        kernel = _rounded(self.kernel, self.bias, per_filter=False)
        return ops.add(ops.matmul(inputs, kernel), self.bias)


@keras.saving.register_keras_serializable("keras_resnet")
class Scale(layers.Layer):
    """Scales and shifts each channel: what is left of a normalization that nothing folds into.

    A 1x1 depthwise convolution, since int8 has a scale for each of its kernels, which one number
    never exceeds, and 32 bits for its bias: nothing is rounded here.
    """

    def build(self, input_shape: tuple[Any, ...]) -> None:
        shape = (input_shape[-1],)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer="ones")
        self.bias = self.add_weight(name="bias", shape=shape, initializer="zeros")
        super().build(input_shape)

    def call(self, inputs: Tensor) -> Tensor:
        kernel = ops.reshape(self.kernel, (1, 1, -1, 1))
        return ops.add(ops.depthwise_conv(inputs, kernel, data_format="channels_last"), self.bias)

    def compute_output_shape(self, input_shape: tuple[Any, ...]) -> tuple[Any, ...]:
        return input_shape


KINDS: dict[Any, Any] = {layers.Conv2D: QuantizedConv2D, layers.Dense: QuantizedDense}
ROUNDED = (
    *KINDS,
    layers.BatchNormalization,
    layers.Add,
    layers.ReLU,
    layers.GlobalAveragePooling2D,
)


def precision(model: keras.Model) -> str:
    """Returns "int8" for what `quantized` returned, "" for other networks."""
    return "int8" if any(isinstance(layer, FakeQuantize) for layer in model.layers) else ""


def quantized(model: ResidualNetwork) -> ResidualNetwork:
    """Returns the network with its normalizations folded, rounding as int8 does.

    It computes in float32 under any dtype policy, and without stochastic depth. Its ranges are not
    known before it has been called with `training=True`.

    Raises:
        TypeError: if it is not a Keras model.
        ValueError: if it rounds already, on another backend than TensorFlow, for a model that this
            package did not build, or for a normalization that is not of channels.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(f"int8 needs the backend tensorflow, got {keras.backend.backend()}")
    if precision(model):
        raise ValueError(f"{model.name} is quantized already")
    spec = spec_of(model, "quantized")
    plain = fold(model)
    graph = keras.models.clone_model(plain, clone_function=_layer, call_function=_Rounding(plain))
    for layer in plain.layers:
        if layer.weights:
            graph.get_layer(_name(layer)).set_weights(_values(layer))
    result = ResidualNetwork(graph.input, graph.output, name=model.name)
    rounded = {layer.name for layer in result.layers}
    endpoints = {
        part: rounding_of(layer) if rounding_of(layer) in rounded else layer
        for part, layer in model.endpoints.items()
    }
    result.record(spec, endpoints)
    if model.manifest:
        result.manifest = replace(model.manifest, quantized="int8")
    return result


def _name(layer: layers.Layer) -> str:
    kept = isinstance(layer, layers.BatchNormalization)
    return scale_of(layer.name) if kept else layer.name


def _layer(layer: layers.Layer) -> layers.Layer:
    if isinstance(layer, layers.BatchNormalization):
        if layer.axis not in (-1, 3) or not (layer.scale and layer.center):
            raise ValueError(
                f"{layer.name} must scale and shift the last axis, got axis={layer.axis},"
                f" scale={layer.scale}, center={layer.center}"
            )
        return Scale(name=_name(layer), dtype="float32")
    kind = KINDS.get(type(layer), type(layer))
    return kind.from_config({**layer.get_config(), "trainable": True})


def _values(layer: layers.Layer) -> list[np.ndarray[Any, Any]]:
    values = [np.asarray(value, np.float64) for value in layer.get_weights()]
    if not isinstance(layer, layers.BatchNormalization):
        return values
    gamma, beta, mean, variance = values
    scale = gamma / np.sqrt(variance + layer.epsilon)
    return [scale, beta - mean * scale]


class _Rounding:
    """Calls each layer of a network, and rounds what TFLite's int8 kernels do.

    A ReLU is part of the kernel before it. Padding and the greatest of a window leave values as
    they are; an average has to come in the range of what it averages.
    """

    def __init__(self, plain: keras.Model) -> None:
        rectified = {id(layer.input) for layer in plain.layers if isinstance(layer, layers.ReLU)}
        kernels = [layer for layer in plain.layers if isinstance(layer, ROUNDED)]
        self._rounded = {_name(layer) for layer in kernels if id(layer.output) not in rectified}
        # The first layer of ours, whatever a user's own tensor goes through before.
        self._first = first_layer({layer.name for layer in plain.layers})
        self._ranges: dict[int, tuple[Tensor, FakeQuantize]] = {}  # of tensors, by their id

    def __call__(self, layer: layers.Layer, inputs: Any, **_: Any) -> Any:
        if layer.name == self._first:
            inputs = self._round(inputs, FakeQuantize(name=rounding_of(IMAGE), dtype="float32"))
        before = self._ranges.get(id(inputs))
        outputs = layer(inputs)
        if layer.name in self._rounded:
            return self._round(outputs, FakeQuantize(name=rounding_of(layer.name), dtype="float32"))
        if before and isinstance(layer, layers.AveragePooling2D):
            return self._round(outputs, before[1], observe=False)
        if before:
            self._ranges[id(outputs)] = outputs, before[1]
        return outputs

    def _round(self, tensor: Tensor, layer: FakeQuantize, **kwargs: Any) -> Tensor:
        result = layer(tensor, **kwargs)
        self._ranges[id(result)] = result, layer
        return result
