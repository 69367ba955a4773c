"""Graphs that users changed: a normalization folds where it reads a convolution, and only there."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_resnet import cost, resnet
from keras_resnet.preprocessing import mode
from keras_resnet.rewrite.fold import fold
from keras_resnet.rewrite.int8 import quantized
from tests.support import variants

Tensor = keras.KerasTensor
SHAPE = (8, 8, 3)


def conv(x: Tensor, name: str = "x", **fields) -> Tensor:
    return layers.Conv2D(4, 3, padding="same", name=name, **fields)(x)


def norm(x: Tensor, name: str = "x_bn", **fields) -> Tensor:
    return layers.BatchNormalization(name=name, **fields)(x)


def two_readers(x: Tensor) -> Tensor:
    y = conv(x)
    return layers.Add()([norm(y), y])


def two_norms(x: Tensor) -> Tensor:
    y = conv(x)
    return layers.Add()([norm(y), norm(y, "y_bn")])


def shared_conv(x: Tensor) -> Tensor:
    shared = layers.Conv2D(3, 3, padding="same", name="x")
    return norm(shared(layers.ReLU()(shared(x))))


def shared_norm(x: Tensor) -> Tensor:
    shared = layers.BatchNormalization(name="x_bn")
    return shared(layers.ReLU()(shared(conv(x))))


def crossed(x: Tensor) -> Tensor:
    """Each convolution is named for the normalization of the other."""
    return layers.Add()([norm(conv(x), "y_bn"), norm(conv(x, "y"), "x_bn")])


class Doubled(layers.Conv2D):
    def call(self, inputs: Tensor) -> Tensor:
        return super().call(2 * inputs)


class Around(keras.Model):
    def call(self, inputs: Tensor) -> Tensor:
        return inputs


# A graph, and how many normalizations stay.
GRAPHS = {
    "straight": (lambda x: norm(conv(x)), 0),
    "other names": (lambda x: norm(conv(x, "one"), "two"), 0),
    "crossed names": (crossed, 0),
    "with a bias": (lambda x: norm(conv(x, use_bias=True)), 0),
    "without gamma": (lambda x: norm(conv(x), scale=False), 0),
    "without beta": (lambda x: norm(conv(x), center=False), 0),
    "bare": (lambda x: norm(conv(x), center=False, scale=False), 0),
    "activation between": (lambda x: norm(layers.ELU()(conv(x))), 1),
    "activation inside": (lambda x: norm(conv(x, activation="relu")), 1),
    "padding between": (lambda x: norm(layers.ZeroPadding2D()(conv(x))), 1),
    "two readers": (two_readers, 1),
    "two normalizations": (two_norms, 2),
    "an output": (lambda x: [y := conv(x), norm(y)], 1),
    "another axis": (lambda x: norm(conv(x), axis=1), 1),
    "shared convolution": (shared_conv, 1),
    "shared normalization": (shared_norm, 1),
    "operations": (lambda x: norm(conv(keras.ops.abs(x) + 1.0)) * 3.0, 0),
    "subclass": (lambda x: norm(Doubled(4, 3, name="x")(x)), 1),
    "depthwise": (lambda x: norm(layers.DepthwiseConv2D(3, name="x")(x)), 1),
    "groups": (lambda x: norm(layers.Conv2D(6, 3, groups=3, name="x")(x)), 0),
}


@pytest.mark.parametrize(("build", "kept"), GRAPHS.values(), ids=GRAPHS)
def test_a_folded_graph_computes_the_same(build, kept: int) -> None:
    inputs = keras.Input(SHAPE)
    model = keras.Model(inputs, build(inputs))
    variants.randomize(model)
    folded, x = fold(model), variants.images(2, *SHAPE)
    for found, expected in zip(
        keras.tree.flatten(folded(x)), keras.tree.flatten(model(x)), strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    norms = [one for one in folded.layers if isinstance(one, layers.BatchNormalization)]
    assert len(norms) == kept


@pytest.mark.parametrize("activation", ["elu", "sigmoid"])
def test_another_activation_inside_a_network(activation: str) -> None:
    """Rebuilt from the layers of a network, whose first calls are those of the old graph."""
    old = resnet("resnet20", repeats=[1], input_shape=(16, 16, 3))
    variants.randomize(old)

    def call(layer: layers.Layer, inputs: Tensor, *args, **kwargs) -> Tensor:
        if layer.name == "stage1_block1_conv1_bn":
            inputs = layers.Activation(activation, name="between")(inputs)
        return layer(inputs, *args, **kwargs)

    model = keras.models.clone_model(old, call_function=call)
    model.set_weights(old.get_weights())
    x = variants.images(2, 16, 16, 3)
    assert np.abs(np.asarray(model(x)) - np.asarray(old(x))).max() > 1e-4
    np.testing.assert_allclose(fold(model)(x), model(x), atol=1e-6)
    assert [one.name for one in fold(model).layers if "Normalization" in type(one).__name__] == [
        "stage1_block1_conv1_bn"
    ]


def test_layers_of_an_older_graph_are_folded_where_they_now_stand() -> None:
    inputs = keras.Input(SHAPE)
    first = conv(inputs)
    old = keras.Model(inputs, norm(first))
    moved = old.get_layer("x_bn")(layers.ELU()(first))
    model = keras.Model(inputs, moved)
    variants.randomize(model)
    x = variants.images(2, *SHAPE)
    for one in (old, model):
        np.testing.assert_allclose(fold(one)(x), one(x), atol=1e-5)


@pytest.mark.parametrize("build", [keras.applications.ResNet50, keras.applications.MobileNetV2])
def test_networks_of_others_fold_too(build) -> None:
    model = build(input_shape=(32, 32, 3), weights=None, classes=5)
    variants.randomize(model)
    x = variants.images(2, 32, 32, 3)
    expected = np.asarray(model(x))
    np.testing.assert_allclose(fold(model)(x), expected, atol=1e-4 * np.abs(expected).max())


def test_pixels_in_front_of_a_network_stay(tmp_path) -> None:
    pixels = keras.Input((None, None, 3), dtype="uint8")
    model = resnet("resnet20", repeats=[1], input_tensor=mode("torch", image_size=16)(pixels))
    variants.randomize(model)
    x = np.random.default_rng(0).integers(0, 256, (2, 30, 40, 3), dtype=np.uint8)
    for dtype, bound in (("float32", 1e-6), ("bfloat16", 0.03)):
        folded = fold(model, dtype)
        assert folded.layers[1].compute_dtype == "float32"
        np.testing.assert_allclose(folded(x), model(x), atol=bound)


def test_what_has_no_graph_of_layers_is_refused() -> None:
    network = resnet("resnet20", repeats=[1])
    nested = keras.Sequential([keras.Input((16, 16, 3)), network], name="around")
    subclass = Around(name="mine")
    subclass(np.zeros((1, 2)))
    for call, name in ((fold, "fold"), (cost, "cost")):
        with pytest.raises(
            ValueError, match=rf"{name} needs .* pass around.get_layer\('{network.name}'\)"
        ):
            call(nested)
        with pytest.raises(ValueError, match="needs a functional model"):
            call(subclass)
        with pytest.raises(TypeError, match=f"{name} needs a Keras model, got 'resnet20'"):
            call("resnet20")
    assert fold(nested.get_layer(network.name)).name == network.name


def test_only_networks_with_a_spec_are_quantized() -> None:
    network = resnet("resnet20", repeats=[1])
    with pytest.raises(ValueError, match="copy its weights if it is a clone"):
        quantized(keras.models.clone_model(network))
    with pytest.raises(ValueError, match="quantized needs a network that keras_resnet built"):
        quantized(keras.applications.MobileNetV2((32, 32, 3), weights=None))


def test_the_cost_asks_the_spec_and_not_the_name() -> None:
    expected = cost(resnet("resnet20"))
    assert cost(resnet("resnet20", name="mine")) == expected
    assert cost(resnet("resnet20", name="resnet50")) == expected
    larger = cost(resnet("resnet20", input_shape=(64, 64, 3)))
    assert larger.multiply_adds > 3 * expected.multiply_adds
    inputs = keras.Input((None, None, 3))
    other = keras.Model(inputs, conv(inputs), name="resnet50")
    with pytest.raises(ValueError, match=r"image_shape is needed: .* \(None, None, None, 3\)"):
        cost(other)
    assert cost(other, (8, 6)).multiply_adds == 8 * 6 * 4 * 3 * 3 * 3
    clone = keras.models.clone_model(resnet("resnet20"))
    with pytest.raises(ValueError, match="image_shape is needed"):
        cost(clone)


def test_the_cost_counts_calls_and_places() -> None:
    """A convolution that is called twice costs twice; so does a dense layer at each place."""
    inputs = keras.Input((6, 6, 3))
    shared = layers.Conv2D(3, 3, padding="same")
    model = keras.Model(inputs, layers.Dense(5)(shared(shared(inputs))))
    assert cost(model).multiply_adds == 36 * (2 * 3 * 3 * 3 * 3 + 3 * 5)
    assert cost(model).parameters == 3 * 3 * 3 * 3 + 3 + 3 * 5 + 5
