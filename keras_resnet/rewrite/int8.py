"""Quantization-aware training: networks that round in training as TFLite does in int8.

Kernels and activations stay float32, but take only the 255 or 256 values of TFLite's int8 kernels
(Jacob et al., arXiv:1712.05877). Kernels have a symmetric range per filter. An activation has one
range per tensor, a moving average of the extremes seen in training. Gradients ignore the rounding.
TensorFlow only: its operations for fake quantization tell its converter the ranges.
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
# A filter that is tiny relative to its bias, as after a gamma of 0, would have such a small scale
# that the int32 bias of TFLite overflows.
BESIDE_BIAS = 2.0**-12


@keras.saving.register_keras_serializable("keras_resnet")
class FakeQuantize(layers.Layer):
    """Rounds a float32 tensor of any shape to 256 values in a range that includes 0.

    In training the range is the moving average of the extremes of each batch. The first batch sets
    it; before that, outputs are NaN. The range is also updated in frozen parts.
    """

    def build(self, input_shape: Any) -> None:
        unseen = keras.initializers.Constant(float("nan"))
        self.range = self.add_weight(
            name="range", shape=(2,), initializer=unseen, trainable=False, autocast=False
        )
        super().build(input_shape)

    def call(self, inputs: Tensor, training: bool | None = None, observe: bool = True) -> Tensor:
        """Rounds, and in training updates the range unless `observe` is False."""
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
    """Rounds a kernel to 255 values, in a range per filter or one for the whole kernel."""
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
    """A convolution with a bias whose kernel is rounded to int8, with a scale per filter."""

    def convolution_op(self, inputs: Tensor, kernel: Any) -> Tensor:
        return super().convolution_op(inputs, _rounded(kernel, self.bias, per_filter=True))


@keras.saving.register_keras_serializable("keras_resnet")
class QuantizedDense(layers.Dense):
    """A classifier whose kernel is rounded to int8, with one scale."""

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:  # noqa: ARG002
        kernel = _rounded(self.kernel, self.bias, per_filter=False)
        return ops.add(ops.matmul(inputs, kernel), self.bias)


@keras.saving.register_keras_serializable("keras_resnet")
class Scale(layers.Layer):
    """Scales and shifts each channel, in place of a batch normalization that cannot be folded.

    It is a 1x1 depthwise convolution: in int8 each kernel, a single number, has a scale of its own,
    and the bias has 32 bits, so that no precision is lost.
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
    """Returns "int8" for a network that `quantized` returned, "" for other models."""
    return "int8" if any(isinstance(layer, FakeQuantize) for layer in model.layers) else ""


def quantized(model: ResidualNetwork) -> ResidualNetwork:
    """Returns a network for quantization-aware training, with folded normalizations.

    It computes in float32 under every dtype policy, without stochastic depth. Its ranges are NaN,
    and so are its outputs, until it has been called with `training=True`.

    Args:
        model: a network that this package built.

    Returns:
        A network with the same inputs and outputs, spec and endpoints; a manifest is copied, with
        `quantized="int8"`.

    Raises:
        TypeError: if it is not a Keras model.
        ValueError: if it is already quantized, if the backend is not TensorFlow, for a model that
            this package did not build, and for a normalization that is not over channels.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(f"int8 needs the TensorFlow backend, got {keras.backend.backend()}")
    if precision(model):
        raise ValueError(f"{model.name} is already quantized")
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
    """Calls each layer of a network, and rounds outputs where TFLite's int8 kernels do.

    A ReLU is part of the kernel before it. Padding and max pooling do not change values. Average
    pooling must have the same range for input and output.
    """

    def __init__(self, plain: keras.Model) -> None:
        rectified = {id(layer.input) for layer in plain.layers if isinstance(layer, layers.ReLU)}
        kernels = [layer for layer in plain.layers if isinstance(layer, ROUNDED)]
        self._rounded = {_name(layer) for layer in kernels if id(layer.output) not in rectified}
        # The first layer of the stem: a user may have put layers before it.
        self._first = first_layer({layer.name for layer in plain.layers})
        self._ranges: dict[int, tuple[Tensor, FakeQuantize]] = {}  # by the id of a tensor

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
