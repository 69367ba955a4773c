"""The doors of the builders: what they take, what they give, and what they refuse."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_resnet
from keras_resnet import resnet
from tests.support.products import crossed
from tests.support.variants import NARROW, images

SMALL = {**NARROW, "stem": ((7, 8, 2),), "repeats": (1, 1, 1, 1)}
IMAGE = (32, 32, 3)


def small(network: str = "resnet50", **arguments) -> keras.Model:
    return resnet(network, **{**SMALL, **arguments})


def raised(error: type[Exception], call) -> str:
    with pytest.raises(error) as caught:
        call()
    return str(caught.value)


def foreign() -> keras.KerasTensor:
    return keras.Input((32, 32, 3), name="foreign")


BAD = [  # arguments, error, words of the message
    ({"network": "resnet51"}, ValueError, ["'resnet51'", "did you mean", "resnet50"]),
    ({"network": foreign}, TypeError, ["'resnet50'", "KerasTensor"]),
    ({"inputs": foreign}, TypeError, ["inputs", "stride_on"]),
    ({"blocks": (3, 4, 6, 3)}, TypeError, ["blocks", "repeats"]),
    ({"include_top": foreign}, TypeError, ["include_top", "KerasTensor", "input_tensor="]),
    ({"include_top": 1}, TypeError, ["include_top", "True or False", "1"]),
    ({"endpoints": "stem"}, TypeError, ["endpoints", "True or False", "'stem'"]),
    ({"pooling": "mean"}, ValueError, ["pooling", "'avg'", "'max'", "'mean'", "None"]),
    ({"pooling": True}, ValueError, ["pooling", "True"]),
    ({"pooling": "max"}, ValueError, ["pooling='max'", "include_top=False"]),
    ({"input_shape": (224, 224)}, ValueError, ["input_shape", "(224, 224)", "(224, 224, 3)"]),
    ({"input_shape": (1, 32, 32, 3)}, ValueError, ["input_shape", "(1, 32, 32, 3)"]),
    ({"input_shape": 224}, ValueError, ["input_shape", "224", "(height, width, channels)"]),
    ({"input_shape": (32, 32, None)}, ValueError, ["input_shape", "(32, 32, None)"]),
    ({"input_shape": (32, 0, 3)}, ValueError, ["input_shape", "(32, 0, 3)"]),
    ({"input_shape": (32, -1, 3)}, ValueError, ["input_shape", "(32, -1, 3)"]),
    ({"input_shape": (32.0, 32, 3)}, ValueError, ["input_shape", "(32.0, 32, 3)"]),
    ({"input_shape": (True, 32, 3)}, ValueError, ["input_shape", "(True, 32, 3)"]),
    ({"input_shape": "323"}, ValueError, ["input_shape", "'323'"]),
    ({"input_shape": tf.TensorShape(None)}, ValueError, ["input_shape", "TensorShape(None)"]),
    ({"input_shape": (3, 224, 224)}, ValueError, ["transpose", "(224, 224, 3)"]),
    ({"input_shape": (1, None, 96)}, ValueError, ["transpose", "(None, 96, 1)"]),
    ({"input_shape": IMAGE, "input_tensor": foreign}, ValueError, ["input_tensor or input_shape"]),
    ({"input_tensor": np.zeros((1, 32, 32, 3))}, TypeError, ["input_tensor", "Keras tensor", "0."]),
    ({"input_tensor": "image"}, TypeError, ["input_tensor", "'image'"]),
    ({"input_tensor": lambda: keras.Input((32, 3))}, ValueError, ["input_tensor", "(None, 32, 3)"]),
    (
        {"input_tensor": lambda: keras.Input((3, 224, 224))},
        ValueError,
        ["input_tensor", "transpose", "(224, 224, 3)"],
    ),
    ({"classes": 0}, ValueError, ["classes", "0", "positive"]),
    ({"classes": "10"}, TypeError, ["classes", "'10'"]),
    ({"classes": 10.0}, TypeError, ["classes", "10.0"]),
    ({"classes": True}, TypeError, ["classes", "True"]),
    ({"classes": np.array([5])}, TypeError, ["classes", "[5]"]),
    ({"classifier_activation": "sofmax"}, ValueError, ["sofmax"]),
    ({"weights": "imagenet"}, ValueError, ["imagenet", "resnet50", "resnet20"]),
    ({"weights": "absent.weights.h5"}, ValueError, ["'absent.weights.h5'", "no file"]),
    ({"shortcut": "E"}, ValueError, ["shortcut", "'E'", "'A'"]),
]


@pytest.mark.parametrize(
    ("arguments", "error", "words"), BAD, ids=[re.sub(r" at 0x\w+", "", str(a)) for a, *_ in BAD]
)
def test_bad_arguments_are_named(arguments, error, words) -> None:
    ready = {k: v() if callable(v) else v for k, v in arguments.items()}
    message = raised(error, lambda: resnet(**{"network": "resnet20", **ready}))
    assert [word for word in words if word not in message] == []


@pytest.mark.parametrize("build", [keras_resnet.ResNet50, keras_resnet.ResNet18], ids=["50", "18"])
def test_the_other_keras_resnet_s_first_argument_is_refused(build) -> None:
    """`keras-resnet` on the index took a tensor first; this one takes keras.applications'."""
    message = raised(TypeError, lambda: build(keras.Input(IMAGE)))
    assert "input_tensor=" in message
    assert "inputs" in raised(TypeError, lambda: build(inputs=keras.Input(IMAGE)))


@crossed(
    "network,shape",
    ["resnet50", "resnet50_v2", "resnet50_d", "resnet18", "plain18"],
    [(32, 32, 3), (None, None, 3), (33, 47, 1), (20, None, 4), [32, 64, 3]],
)
def test_images_of_any_size_and_channels(network: str, shape) -> None:
    model = small(network, input_shape=shape)
    assert model.input_shape == (None, *shape)
    concrete = [41 if size is None else size for size in shape]
    outputs = model(images(2, *concrete))
    assert outputs.shape == (2, 5)
    assert np.isfinite(outputs).all()
    np.testing.assert_allclose(np.sum(outputs, 1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    "shape",
    [
        np.array([32, 64, 3]),
        (np.int64(32), np.int32(64), np.uint8(3)),
        tf.TensorShape([32, 64, 3]),
        [32, 64, 3],
    ],
    ids=["array", "numpy", "TensorShape", "list"],
)
def test_shapes_come_in_many_kinds(shape) -> None:
    model = small(input_shape=shape, classes=np.int64(5))
    assert model.input_shape == (None, 32, 64, 3)
    assert {type(size) for size in model.input_shape[1:]} == {int}
    assert type(model.output_shape[-1]) is int
    assert small(input_shape=tf.TensorShape([None, None, 1])).input_shape == (None, None, None, 1)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (4, None, 5)])
def test_channels_first_is_refused_where_keras_is_set_to_it(shape) -> None:
    keras.config.set_image_data_format("channels_first")
    try:
        message = raised(ValueError, lambda: small(input_shape=shape))
        assert small(input_shape=(32, 32, 3)).input_shape == (None, 32, 32, 3)
    finally:
        keras.config.set_image_data_format("channels_last")
    assert "image_data_format()" in message
    assert f"got {shape}; transpose the images and give {(*shape[1:], shape[0])}" in message


@pytest.mark.parametrize("shape", [(3, 3, 3), (4, 200, 13), (1, 1, 64)])
def test_flat_images_of_many_channels_are_no_mistake(shape) -> None:
    """Hyperspectral strips; only more than 64 channels of a few rows are surely channels first."""
    assert small(input_shape=shape).input_shape == (None, *shape)


def test_an_image_of_one_pixel_is_enough() -> None:
    assert np.isfinite(small()(images(1, 1, 1, 3))).all()
    assert small().input_shape == (None, None, None, 3)


@pytest.mark.parametrize(
    ("network", "sides"),
    [("resnet50", (56, 28, 14, 7)), ("resnet18_v2", (56, 28, 14, 7)), ("resnet20", (224, 112, 56))],
)
def test_endpoints_are_the_maps_of_the_papers(network: str, sides: tuple[int, ...]) -> None:
    """arXiv:1512.03385, table 1 and section 4.2: the output size of each stage."""
    model = resnet(network, endpoints=True)
    assert list(model.output) == ["stem", *(f"stage{i}" for i in range(1, len(sides) + 1))]
    shapes = model.compute_output_shape((1, 224, 224, 3))
    width, expansion = (16 if network == "resnet20" else 64), (4 if network == "resnet50" else 1)
    assert shapes["stem"] == (1, sides[0], sides[0], width)
    for i, side in enumerate(sides):
        assert shapes[f"stage{i + 1}"] == (1, side, side, width * 2**i * expansion)


@pytest.mark.parametrize("network", ["resnet50", "resnet50_v2"])
def test_the_top_is_pooling_a_classifier_and_softmax(network: str) -> None:
    whole = small(network)
    x = images(2, 40, 32, 3)
    parts = {
        name: keras.Model(whole.input, whole.get_layer(name).output)(x).numpy()
        for name in ("pool", "logits", "predictions")
    }
    models = {
        "features": small(network, include_top=False),
        "avg": small(network, include_top=False, pooling="avg"),
        "max": small(network, include_top=False, pooling="max"),
        "logits": small(network, classifier_activation=None),
        "relu": small(network, classifier_activation="relu"),
    }
    for model in models.values():
        for layer in (layer for layer in model.layers if layer.weights):
            layer.set_weights(whole.get_layer(layer.name).get_weights())
    found = {name: model(x).numpy() for name, model in models.items()}
    assert found["features"].shape == (2, 2, 1, 256)
    assert found["features"].min() >= 0
    kernel, bias = whole.get_layer("logits").get_weights()
    powers = np.exp(parts["logits"])
    for value, expected in (
        (found["avg"], found["features"].mean((1, 2))),
        (found["max"], found["features"].max((1, 2))),
        (parts["pool"], found["avg"]),
        (parts["logits"], found["avg"] @ kernel + bias),
        (parts["predictions"], powers / powers.sum(1, keepdims=True)),
        (found["logits"], parts["logits"]),
        (found["relu"], np.maximum(parts["logits"], 0)),
        (whole(x), parts["predictions"]),
    ):
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-5)


def test_features_without_a_top_are_those_of_the_last_endpoint() -> None:
    for network in ("resnet50", "resnet50_v2"):
        ends, features = small(network, endpoints=True), small(network, include_top=False)
        features.set_weights(ends.get_weights())
        x = images(1, *IMAGE)
        np.testing.assert_array_equal(ends(x)["stage4"], features(x))


def test_a_network_continues_a_graph() -> None:
    pixels = keras.Input(IMAGE, name="pixels")
    model = small(input_tensor=keras.layers.Rescaling(1 / 255)(pixels))
    assert [one is pixels for one in model.inputs] == [True]
    alone = small()
    alone.set_weights(model.get_weights())
    x = images(2, *IMAGE)
    np.testing.assert_allclose(model(255 * x), alone(x), rtol=1e-4)


@pytest.mark.parametrize(("network", "classes"), [("resnet50", 1000), ("resnet20", 10)])
def test_classes(network: str, classes: int) -> None:
    fields = {"repeats": (1, 1)}
    assert resnet(network, **fields).output_shape == (None, classes)
    assert resnet(network, classes=7, **fields).output_shape == (None, 7)


def test_models_are_named_for_their_networks() -> None:
    assert small().name == "resnet50"
    assert small(name="mine").name == "mine"
    assert resnet("resnet20", classes=7).name == "resnet20"
    assert resnet("resnet20", shortcut=None).name == "plain20"
    assert resnet("resnet20", preact=True).name == "resnet20_v2"


POLICIES = [
    ("float32", "float32", "float32", "float32"),
    ("mixed_bfloat16", "bfloat16", "float32", "float32"),
    ("mixed_float16", "float16", "float32", "float32"),
    ("float64", "float64", "float64", "float64"),
    ("bfloat16", "bfloat16", "bfloat16", "float32"),
]


@crossed("row,network", POLICIES, ["resnet50", "resnet18_v2", "resnet50_d"])
def test_policies_reach_all_layers_but_the_top(row, network) -> None:
    policy, compute, stored, top = row
    keras.config.set_dtype_policy(policy)
    try:
        model = small(network)
        x = images(1, *IMAGE)
        features = small(network, include_top=False)(x)
    finally:
        keras.config.set_dtype_policy("float32")
    assert keras.backend.standardize_dtype(features.dtype) == compute
    for layer in model.layers:
        late = layer.name in ("pool", "logits", "predictions")
        assert layer.compute_dtype == (top if late else compute), layer.name
    assert {w.dtype for w in model.weights if "logits" not in w.path} == {stored}
    assert keras.backend.standardize_dtype(model(x).dtype) == top
    assert np.isfinite(np.asarray(model(x))).all()


def test_networks_are_channels_last_whatever_keras_is_told() -> None:
    keras.config.set_image_data_format("channels_first")
    try:
        model = small("resnet50_d", shortcut="D")
        outputs = model(images(1, 32, 24, 3))
        option_a = small("resnet18", shortcut="A", output_stride=8)
        assert option_a(images(1, 32, 24, 3)).shape == (1, 5)
    finally:
        keras.config.set_image_data_format("channels_last")
    assert outputs.shape == (1, 5)


NAMES = re.compile(
    r"image|pool|logits|predictions|final_(bn|relu)|stem_pool(_pad)?|stem_conv\d(_pad|_bn|_relu)?"
    r"|stage\d_block\d+_("
    r"conv\d(_pad|_bn|_relu)?|shortcut_(conv(_bn)?|pool|pad|subsample)|preact_(bn|relu)|relu|add"
    r"|drop)"
)


@crossed("network,shortcut", ["resnet50", "resnet18_v2", "resnet50_d", "resnet20"], "ABCD")
def test_every_layer_is_named_for_its_place(network: str, shortcut: str) -> None:
    """Weights depend on them: names such as stage2_block1_conv3_bn never change."""
    model = resnet(network, shortcut=shortcut, stochastic_depth=0.1)
    names = [layer.name for layer in model.layers]
    assert [name for name in names if not NAMES.fullmatch(name)] == []
    assert len(set(names)) == len(names)
    assert not [layer.name for layer in model.layers if isinstance(layer, keras.Model)]
    assert "stage2_block1_conv2_bn" in names or "v2" in network
