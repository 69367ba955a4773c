"""Folding: the same function in plain Keras layers, for every kind of network."""

import keras
import numpy as np
import pytest

from keras_resnet import resnet
from keras_resnet.rewrite.fold import fold
from tests.support import helpers, variants
from tests.support.variants import Variant


def randomized(variant: Variant, **fields) -> keras.Model:
    model = variant.build(classifier_activation=None, **fields)
    variants.randomize(model)
    return model


def close(actual: keras.Model, expected: keras.Model, bound: float = 1e-5) -> None:
    x = variants.images(2, 64, 64, 3)
    a, b = np.asarray(actual(x)), np.asarray(expected(x, training=False))
    assert np.abs(b).max() > 0
    np.testing.assert_allclose(a, b, rtol=0, atol=bound * np.abs(b).max())


@variants.every
def test_folded_networks_compute_the_same_in_layers_of_the_same_names(variant: Variant) -> None:
    model = randomized(variant)
    folded = fold(model)
    close(folded, model)
    assert {type(layer).__module__.split(".")[0] for layer in folded.layers} == {"keras"}
    norms = {layer.name for layer in folded.layers if "Normalization" in type(layer).__name__}
    kept = {layer.name for layer in model.layers if layer.name.endswith("preact_bn")} | {"final_bn"}
    assert norms == (kept if model.spec.preact else set())
    convs = [layer for layer in folded.layers if isinstance(layer, keras.layers.Conv2D)]
    assert all(layer.use_bias for layer in convs)
    assert not folded.trainable_weights
    outputs = variant.build(endpoints=True).output
    ends = {name: tensor._keras_history.operation.name for name, tensor in outputs.items()}
    assert model.endpoints == ends


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_networks_of_mixed_precision_are_folded_to_float32(policy: str) -> None:
    chosen = variants.ALL[0]
    expected = randomized(chosen)
    keras.config.set_dtype_policy(policy)
    try:
        model = randomized(chosen)
    finally:
        keras.config.set_dtype_policy("float32")
    folded = fold(model)
    close(folded, expected)
    assert {layer.dtype_policy.name for layer in folded.layers} == {"float32"}


def test_folding_to_bfloat16_keeps_the_logits_in_float32() -> None:
    model = randomized(variants.ALL[0])
    folded = fold(model, "bfloat16")
    dtypes = {layer.name: layer.compute_dtype for layer in folded.layers if layer.weights}
    assert dtypes.pop("logits") == "float32"
    assert set(dtypes.values()) == {"bfloat16"}
    assert folded.get_layer("pool").compute_dtype == "float32"
    close(folded, model, 0.03)  # eight bits


def test_stochastic_depth_is_gone() -> None:
    model = randomized(variants.ALL[0], stochastic_depth=0.5)
    folded = fold(model)
    close(folded, model)
    assert not [layer for layer in folded.layers if isinstance(layer, keras.layers.Dropout)]


def test_biases_of_the_network_stay() -> None:
    """Of stems without a BN, whose convolution nothing follows that could take it."""
    chosen = next(v for v in variants.ALL if v.fields.get("stem_norm") is False)
    model = randomized(chosen)
    assert np.abs(model.get_layer("stem_conv1").get_weights()[1]).max() > 0
    close(fold(model), model)


def test_kernels_are_folded_in_float64() -> None:
    """Ten lines of numpy, with statistics that float32 would round otherwise."""
    model = resnet("resnet20", repeats=[1], input_shape=(8, 8, 3))
    random = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(random.uniform(0.1, 1.0, weight.shape))
    kernel = np.float64(model.get_layer("stem_conv1").get_weights()[0])
    gamma, beta, mean, variance = map(np.float64, model.get_layer("stem_conv1_bn").get_weights())
    scale = gamma / np.sqrt(variance + 1e-5)
    found = fold(model).get_layer("stem_conv1").get_weights()
    np.testing.assert_array_equal(found[0], (kernel * scale).astype("float32"))
    np.testing.assert_array_equal(found[1], (beta - mean * scale).astype("float32"))


PLAIN = """
import sys
import keras, numpy as np
model = keras.models.load_model(sys.argv[1] + "/folded.keras")
np.save(sys.argv[1] + "/found.npy", model(np.load(sys.argv[1] + "/x.npy")))
assert not any(name.split(".")[0] == "keras_resnet" for name in sys.modules)
"""


def test_a_folded_network_loads_without_this_package(tmp_path) -> None:
    chosen = next(v for v in variants.ALL if str(v) == "basic-v2-A-around")
    model, x = randomized(chosen), variants.images(2, 32, 32, 3)
    fold(model).save(tmp_path / "folded.keras")
    np.save(tmp_path / "x.npy", x)
    done = helpers.python("-c", PLAIN, str(tmp_path))
    assert done.returncode == 0, done.stderr
    expected = np.asarray(model(x, training=False))
    np.testing.assert_allclose(
        np.load(tmp_path / "found.npy"), expected, atol=1e-5 * np.abs(expected).max()
    )
