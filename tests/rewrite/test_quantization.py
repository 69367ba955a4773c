"""Networks that round as int8 does: against numpy, Torch, and TFLite's own int8 kernels."""

from collections import Counter

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from ai_edge_litert.interpreter import Interpreter

from keras_resnet import cost, resnet, weights
from keras_resnet.manifest import Manifest
from keras_resnet.preprocessing import mode
from keras_resnet.rewrite.int8 import FakeQuantize, QuantizedConv2D, precision, quantized
from tests.support import variants
from tests.support.variants import images

TINY = {"repeats": (1, 1, 1), "input_shape": (16, 16, 3), "classifier_activation": None}
SEEN, OTHER = images(8, 16, 16, 3), images(8, 16, 16, 3, seed=2)
# One of each axis: options, order, strides, plain.
CONVERTED = [
    "basic-v1-A-around",
    "basic-last-C",
    "bottleneck-v1.5-D",
    "bottleneck-v1-plain",
    "basic-v2-keras-D",
]
FULL_INT8 = {
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "ADD",
    "PAD",
    "MAX_POOL_2D",
    "AVERAGE_POOL_2D",
    "MEAN",
    "FULLY_CONNECTED",
}


def rounded(x: np.ndarray, low: float, high: float, levels: int = 256) -> np.ndarray:
    """arXiv:1712.05877, equations 12 and 13, with 0 moved to the nearest of the levels."""
    scale = (high - low) / (levels - 1)
    zero = np.round(-low / scale)
    return (np.clip(np.round(x / scale) + zero, 0, levels - 1) - zero) * scale


def network(**fields) -> keras.Model:
    model = resnet("resnet20", **{**TINY, **fields})
    variants.randomize(model)
    return model


def calibrated(model: keras.Model, x: np.ndarray = SEEN) -> keras.Model:
    result = quantized(model)
    result(x, training=True)
    return result


def manifest(**changes) -> Manifest:
    scaling, fields = mode("torch", image_size=16, crop=1.0), {"repeats": [1, 1, 1]}
    values = {"fields": fields, **changes}
    return Manifest("resnet20", (16, 16, 3), tuple("abcdefghij"), scaling, **values)


def test_activations_are_rounded_in_a_range_that_moves() -> None:
    layer, random = FakeQuantize(), np.random.default_rng(0)
    batches = [random.normal(0.3, size, (4, 5, 5, 3)).astype("float32") for size in (1, 2, 0.5)]
    low = high = None
    for x in batches:
        new = x.min(), x.max()
        low, high = (
            new if low is None else (0.99 * low + 0.01 * new[0], 0.99 * high + 0.01 * new[1])
        )
        y = layer(x, training=True)
        np.testing.assert_allclose(layer.range, [low, high], rtol=1e-6)
        np.testing.assert_allclose(y, rounded(x, low, high), atol=1e-5)
    np.testing.assert_allclose(layer(9 * x), rounded(9 * x, low, high), atol=1e-5)
    np.testing.assert_array_equal(layer(x, training=True, observe=False), layer(x))
    np.testing.assert_allclose(layer.range, [low, high], rtol=1e-6)


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0.5, 2.0], [0, 2]), ([-3.0, -1.0], [-3, 0]), ([0.0, 0.0], [0, 1e-3])],
    ids=["above", "below", "nothing"],
)
def test_zero_is_among_the_values(values, expected) -> None:
    layer = FakeQuantize()
    layer(np.array([values], "float32"), training=True)
    np.testing.assert_allclose(layer.range, expected, atol=1e-7)
    assert float(layer(np.zeros([1, 1]))[0, 0]) == 0


def test_what_has_seen_nothing_says_so() -> None:
    assert np.isnan(quantized(network())(SEEN)).all()


def test_activations_round_and_learn_as_in_torch() -> None:
    layer = FakeQuantize()
    layer.build((None,))
    layer.range.assign([-1.0, 1.55])
    values = np.random.default_rng(0).normal(0, 1.2, 2000).astype("float32")
    x, there = tf.constant(values), torch.tensor(values, requires_grad=True)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
    expected = torch.fake_quantize_per_tensor_affine(there, 0.01, 100, 0, 255)
    expected.sum().backward()
    np.testing.assert_allclose(y, expected.detach(), atol=1e-6)
    # At the edges Torch cuts after rounding, and TensorFlow before.
    inside = (np.abs(values + 1.0) > 0.01) & (np.abs(values - 1.55) > 0.01)
    np.testing.assert_array_equal(tape.gradient(y, x)[inside], there.grad[inside])
    assert 0 < there.grad.mean() < 1


def test_convolutions_round_each_filter_as_in_torch() -> None:
    random = np.random.default_rng(0)
    kernel = (random.normal(size=(3, 3, 4, 6)) * 10.0 ** np.arange(-3, 3)).astype("float32")
    kernel[..., 0] = 0
    bias, x = random.normal(size=6).astype("float32"), images(2, 7, 7, 4)
    layer = QuantizedConv2D(6, 3, padding="same")
    layer.build(x.shape)
    layer.set_weights([kernel, bias])
    with tf.GradientTape() as tape:
        y = layer(x)
        loss = tf.reduce_sum(tf.sin(y))
    there = torch.tensor(kernel.transpose(3, 2, 0, 1), requires_grad=True)
    scale = there.detach().abs().amax((1, 2, 3)).clamp(min=1e-9) / 127
    zero = torch.zeros(6, dtype=torch.int32)
    fake = torch.fake_quantize_per_channel_affine(there, scale, zero, 0, -127, 127)
    pixels = torch.tensor(x.transpose(0, 3, 1, 2))
    expected = torch.nn.functional.conv2d(pixels, fake, torch.tensor(bias), padding=1)
    torch.sin(expected).sum().backward()
    expected = expected.detach().numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)
    gradient = tape.gradient(loss, layer.kernel.value)
    np.testing.assert_allclose(gradient, there.grad.numpy().transpose(2, 3, 1, 0), atol=1e-3)


def convert(model: keras.Model) -> bytes:
    """Converts to int8 without any data, as only what knows its ranges can be."""
    spec = tf.TensorSpec([1, *model.input_shape[1:]], name="x")
    function = tf.function(lambda x: model(x, training=False)).get_concrete_function(spec)
    holder = tf.Module()
    holder.variables_of_it = [variable.value for variable in model.variables]
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], holder)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return converter.convert()


def run(content: bytes, x: np.ndarray) -> tuple[np.ndarray, Counter[str]]:
    """What TFLite computes of each image, and with which kernels."""
    interpreter = Interpreter(model_content=content)
    kernels = Counter(row["op_name"] for row in interpreter._get_ops_details())
    interpreter.allocate_tensors()
    (given,), (returned,) = interpreter.get_input_details(), interpreter.get_output_details()
    outputs = []
    for image in x:
        interpreter.set_tensor(given["index"], image[np.newaxis])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(returned["index"])[0])
    return np.stack(outputs), kernels


@pytest.mark.parametrize("name", CONVERTED)
def test_tflite_computes_in_int8_what_the_network_does(name: str) -> None:
    variant = next(variant for variant in variants.ALL if variant.name == name)
    model = variant.build(classifier_activation=None, input_shape=(16, 16, 3))
    variants.randomize(model)
    rounding = calibrated(model)
    expected = np.asarray(rounding(SEEN))
    actual, kernels = run(convert(rounding), SEEN)
    # All in int8, and nothing is scaled anew on the way.
    assert kernels["QUANTIZE"] == kernels["DEQUANTIZE"] == 1
    assert set(kernels) - {"QUANTIZE", "DEQUANTIZE"} <= FULL_INT8
    low, high = np.asarray(rounding.get_layer("logits_int8").range)
    assert np.abs(actual - expected).max() / ((high - low) / 255) < 3.5
    # And it is still the network that was rounded, within some parts of 255.
    plain = np.asarray(model(SEEN))
    assert np.abs(expected - plain).max() < 0.06 * np.abs(plain).max()


def test_filters_that_are_nothing_beside_their_bias() -> None:
    """As after a gamma of 0; TFLite's bias is in units of the kernel's scale, and has 32 bits."""
    model = network()
    norm = model.get_layer("stage2_block1_conv2_bn")
    norm.gamma.assign([0.0] * 16 + [1e-7] * 16)
    norm.beta.assign(np.linspace(1, 3, 32))
    rounding = calibrated(model)
    actual, _ = run(convert(rounding), SEEN)
    low, high = np.asarray(rounding.get_layer("logits_int8").range)
    assert np.abs(actual - np.asarray(rounding(SEEN))).max() / ((high - low) / 255) < 3.5


def test_names_and_costs_stay() -> None:
    model = network(preact=True)
    rounding = quantized(model)
    kept = {w.path for w in model.weights if not w.path.split("/")[0].endswith("_bn")}
    found = {w.path for w in rounding.weights}
    assert kept <= found
    rounded_here = {
        "image",
        "stem_conv1_relu",
        "final_relu",
        "pool",
        "logits",
        "stage1_block1_conv2",
        *(f"stage{s}_block1_{end}" for s in (1, 2, 3) for end in ("conv1_relu", "add")),
        *(f"stage{s}_block1_{end}" for s in (2, 3) for end in ("preact_relu", "conv2")),
    }
    scales = {"stage2_block1_preact_scale", "stage3_block1_preact_scale", "final_scale"}
    convs = {layer.name for layer in model.layers if isinstance(layer, keras.layers.Conv2D)}
    expected = {f"{name}_int8/range" for name in rounded_here}
    expected |= {f"{name}/kernel" for name in scales} | {f"{name}/bias" for name in scales | convs}
    assert found - kept == expected
    assert cost(rounding).multiply_adds == cost(model).multiply_adds


def test_a_network_of_mixed_precision_rounds_in_float32() -> None:
    expected = calibrated(network())
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = calibrated(network())
    finally:
        keras.config.set_dtype_policy("float32")
    assert {layer.compute_dtype for layer in mixed.layers[1:]} == {"float32"}
    np.testing.assert_array_equal(mixed(OTHER), expected(OTHER))


@pytest.mark.parametrize(
    ("suffix", "fields", "last"),
    [
        (".weights.h5", {"preact": True}, "final_relu"),
        (".keras", {"shortcut": "D"}, "stage3_block1_relu"),
    ],
    ids=["h5", "keras"],
)
def test_what_is_saved_is_loaded(suffix: str, fields, last, tmp_path) -> None:
    rounding, file = calibrated(network(**fields)), tmp_path / f"some{suffix}"
    weights.save(rounding, file, manifest(fields={"repeats": [1, 1, 1], **fields}))
    assert weights.read_manifest(file).quantized == "int8"
    loaded = resnet.from_weights(file, input_shape=(16, 16, 3), classifier_activation=None)
    assert precision(loaded) == loaded.manifest.quantized == "int8"
    np.testing.assert_array_equal(loaded(OTHER), rounding(OTHER))
    if suffix == ".keras":
        np.testing.assert_array_equal(keras.saving.load_model(file)(OTHER), rounding(OTHER))
    parts = resnet.from_weights(file, input_shape=(16, 16, 3), endpoints=True)
    expected = keras.Model(rounding.input, rounding.get_layer(f"{last}_int8").output)(OTHER)
    np.testing.assert_array_equal(parts(OTHER)["stage3"], expected)
    ends = {name: tensor._keras_history.operation.name for name, tensor in parts.output.items()}
    assert rounding.endpoints == ends
    headless = resnet.from_weights(file, include_top=False, pooling="avg")
    assert headless(OTHER).shape == (8, 64)


def test_a_plain_network_does_not_take_rounded_weights(tmp_path) -> None:
    weights.save(calibrated(network()), tmp_path / "a.weights.h5", manifest())
    with pytest.raises(ValueError, match=r"another network.*image_int8/range"):
        weights.load(network(), tmp_path / "a.weights.h5")


def test_manifests_without_the_field_are_read() -> None:
    old = manifest().to_dict()
    assert old.pop("quantized") == ""
    assert Manifest.from_dict(old) == manifest()
    with pytest.raises(ValueError, match=r"quantized must be '' or 'int8', got 'int4'"):
        manifest(quantized="int4")


def test_what_cannot_be_quantized_is_refused(monkeypatch) -> None:
    with pytest.raises(ValueError, match="resnet8 is already quantized"):
        quantized(quantized(network()))
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="int8 needs the TensorFlow backend, got jax"):
        quantized(network())
