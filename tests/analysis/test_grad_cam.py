"""Grad-CAM is what the paper computes, with gradients and, at the last stage, without them."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

import keras_resnet
from keras_resnet.analysis.grad_cam import activation_maps, grad_cam
from tests.support import exporting, foreign, helpers, torch_cifar, torch_nets

NETWORKS = {
    "v1": ("resnet20", {"shortcut": "A"}),
    "bottleneck": ("resnet50_v1_5", {}),
    "v2": ("resnet20_v2", {}),
    "D": ("resnet50_d", {}),
    "plain": ("plain18", {}),
}


def by_gradients(model: keras.Model, images: np.ndarray, classes: list[int]) -> np.ndarray:
    """The paper's equations 1 and 2, and the largest value made 1 where there is one."""
    last = model.get_layer("pool").input
    network = keras.Model(model.input, [last, model.get_layer("logits").output])
    with tf.GradientTape() as tape:
        features, logits = network(images, training=False)
        tape.watch(features)
        # The head again, so that the tape sees it begin at the features.
        again = model.get_layer("logits")(model.get_layer("pool")(features))
        score = tf.reduce_sum(tf.gather(again, classes, axis=1, batch_dims=1))
    np.testing.assert_allclose(again, logits, atol=1e-4)
    alpha = tf.reduce_mean(tape.gradient(score, features), axis=(1, 2), keepdims=True)
    maps = tf.nn.relu(tf.reduce_sum(alpha * features, -1)).numpy()
    highest = maps.max((1, 2), keepdims=True)
    assert highest.any()
    return maps / np.where(highest > 0, highest, 1)


@pytest.mark.parametrize("kind", NETWORKS)
def test_it_is_what_gradients_give(kind):
    name, fields = NETWORKS[kind]
    model, manifest = exporting.network(name, **fields)
    images = manifest.preprocessing.normalize(exporting.pixels(4))
    classes = [0, 3, 6, 3]
    maps = np.asarray(grad_cam(model, images, classes))
    np.testing.assert_allclose(maps, by_gradients(model, images, classes), atol=1e-5)
    best = np.asarray(model(images)).argmax(1)
    np.testing.assert_array_equal(grad_cam(model, images), grad_cam(model, images, best))


def test_each_class_has_a_map_of_its_own_by_hand():
    features = np.float32([[[[1, 0], [2, 4]], [[0, 3], [0, 0]]]])  # [1, 2, 2, 2]
    kernel = np.float32([[1, 0, -1], [0, 2, -1]])
    maps = np.asarray(activation_maps(features, kernel, np.array([[1, 0, 2]])))
    expected = [[[0, 1], [0.75, 0]], [[0.5, 1], [0, 0]], [[0, 0], [0, 0]]]
    np.testing.assert_array_equal(maps, [expected])


def test_a_probability_changes_nothing():
    """Gradients of logits count, also where the network goes on to a softmax."""
    keras.utils.set_random_seed(0)
    fields = {"repeats": [1, 1], "input_shape": (16, 16, 3)}
    model = helpers.randomize(keras_resnet.resnet("resnet20", **fields))
    logits = keras_resnet.resnet("resnet20", classifier_activation=None, **fields)
    logits.set_weights(model.get_weights())
    images = exporting.pixels(2, 16)
    np.testing.assert_array_equal(grad_cam(model, images), grad_cam(logits, images))


@pytest.mark.parametrize(
    "kind", [np.uint8, np.uint64, np.int16, np.int64, list, tuple, tf.constant]
)
def test_classes_come_as_any_integers(kind):
    model, _ = exporting.network("resnet20", repeats=[1])
    images, classes = exporting.pixels(2), [3, 6]
    given = kind(classes) if kind in (list, tuple, tf.constant) else np.array(classes, kind)
    expected = by_gradients(model, images, classes)
    np.testing.assert_allclose(grad_cam(model, images, given), expected, atol=1e-5)


@pytest.mark.parametrize("activation", ["sigmoid", None])
def test_one_output_shows_what_speaks_for_the_positive_class(activation):
    keras.utils.set_random_seed(0)
    fields = {"repeats": [1], "classes": 1, "classifier_activation": activation}
    model = helpers.randomize(keras_resnet.resnet("resnet20", **fields))
    images = exporting.pixels(3)
    expected = by_gradients(model, images, [0, 0, 0])
    np.testing.assert_allclose(grad_cam(model, images), expected, atol=1e-5)
    with pytest.raises(ValueError, match=r"classes must be in 0..0, got \[0, 1, 0\]"):
        grad_cam(model, images, [0, 1, 0])


def test_several_sigmoids_have_a_map_each():
    keras.utils.set_random_seed(0)
    fields = {"repeats": [1], "classes": 4, "classifier_activation": "sigmoid"}
    model = helpers.randomize(keras_resnet.resnet("resnet20", **fields))
    images = exporting.pixels(3)
    expected = by_gradients(model, images, [1, 3, 0])
    np.testing.assert_allclose(grad_cam(model, images, [1, 3, 0]), expected, atol=1e-5)


def test_a_head_of_more_layers_is_refused():
    model, _ = exporting.network("resnet20", repeats=[1])
    pooled = keras.Model(model.input, model.get_layer("pool").output)
    head = keras.layers.Dense(3, name="logits")

    def around(layer: keras.layers.Layer) -> keras.Model:
        return keras.Model(pooled.input, head(layer(pooled.output)), name="mine")

    images = exporting.pixels(2)
    dropped = around(keras.layers.Dropout(0.5))
    expected = by_gradients(dropped, images, [2, 0])
    np.testing.assert_allclose(grad_cam(dropped, images, [2, 0]), expected, atol=1e-5)
    with pytest.raises(ValueError, match="that of mine reads hidden"):
        grad_cam(around(keras.layers.Dense(16, "relu", name="hidden")), images)


def test_models_of_others_are_refused():
    model, _ = exporting.network("resnet20", repeats=[1])
    nested = keras.Sequential([keras.Input((32, 32, 3)), model], name="around")
    inner = model.name
    foreign = keras.applications.MobileNetV2((32, 32, 3), weights=None, classes=3)
    for other, said in {
        nested: rf"pass around.get_layer\('{inner}'\)",
        foreign: "needs a classifier: mobilenetv2_1.00_32 has no layers pool and logits",
    }.items():
        with pytest.raises(ValueError, match=said):
            grad_cam(other, exporting.pixels(2))
    with pytest.raises(TypeError, match="needs a Keras model, got 'resnet20'"):
        grad_cam("resnet20", exporting.pixels(2))


def test_what_makes_no_sense_is_refused():
    headless = keras_resnet.resnet("resnet20", include_top=False, repeats=[1, 1])
    with pytest.raises(
        ValueError, match="needs a classifier: resnet20 has no layers pool and logits"
    ):
        grad_cam(headless, exporting.pixels(1))
    model, _ = exporting.network("resnet20", repeats=[1])
    for classes, said in {
        (1,): "one integer per image, for 2 images",
        (0.5, 1.0): "one integer per image, for 2 images",
        (True, False): "one integer per image, for 2 images",
        (7, 0): r"classes must be in 0..6, got \[7, 0\]",
        (0, -1): r"classes must be in 0..6, got \[0, -1\]",
    }.items():
        with pytest.raises(ValueError, match=said):
            grad_cam(model, exporting.pixels(2), classes)


def by_torch(model: keras.Model, images: np.ndarray, classes: list[int], stage: int) -> np.ndarray:
    """The paper's equations, at the output of a stage of the same network in PyTorch."""
    net = torch_cifar.Network(2, "after", 7).filled(foreign.state(model))
    kept = []
    stages = getattr(net, f"layer{stage}")
    stages.register_forward_hook(lambda _module, _inputs, output: kept.append(output))
    scores = net(torch_nets.nchw(images))[range(len(images)), classes]
    (gradient,) = torch.autograd.grad(scores.sum(), kept)
    weights = gradient.mean((2, 3), keepdim=True)
    maps = (weights * kept[0]).sum(1).clamp(min=0).detach().numpy()
    highest = maps.max((1, 2), keepdims=True)
    assert highest.any()
    return maps / np.where(highest > 0, highest, 1)


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_a_stage_gives_what_torch_gives(stage):
    model, _ = exporting.network("resnet20", repeats=[2, 2, 2])
    images = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype("float32")
    classes = [0, 3, 6, 3]
    expected = by_torch(model, images, classes, stage)
    maps = grad_cam(model, images, classes, layer=f"stage{stage}")
    assert maps.shape == expected.shape
    np.testing.assert_allclose(maps, expected, atol=1e-4)
    named = grad_cam(model, images, classes, layer=f"stage{stage}_block2_relu")
    np.testing.assert_array_equal(maps, named)


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_last_stage_with_gradients_is_the_default_without(kind):
    name, fields = NETWORKS[kind]
    model, manifest = exporting.network(name, **fields)
    images = manifest.preprocessing.normalize(exporting.pixels(3))
    maps = grad_cam(model, images, layer=list(model.endpoints)[-1])
    np.testing.assert_allclose(maps, grad_cam(model, images), atol=1e-5)


def test_a_layer_needs_no_average_pooling_after_it():
    model, _ = exporting.network("resnet20")
    hidden = keras.layers.Dense(16, "relu", name="hidden")(model.get_layer("pool").output)
    mine = keras.Model(model.input, keras.layers.Dense(3, name="logits")(hidden), name="mine")
    maps = grad_cam(mine, exporting.pixels(2), [0, 2], layer="stage1_block2_relu")
    assert maps.shape == (2, 32, 32)
    with pytest.raises(ValueError, match="that of mine reads hidden"):
        grad_cam(mine, exporting.pixels(2))


def test_a_layer_that_has_no_map_is_refused():
    model, _ = exporting.network("resnet20")
    for layer, said in {
        "stage3": "resnet20 has no layer or endpoint 'stage3'; known is stage",
        "pool": r"pool has no feature map: its output is \(None, 32\)",
    }.items():
        with pytest.raises(ValueError, match=said):
            grad_cam(model, exporting.pixels(2), layer=layer)
    with pytest.raises(ValueError, match=r"classes must be in 0..6, got \[7, 0\]"):
        grad_cam(model, exporting.pixels(2), [7, 0], layer="stage1")
    headless = keras_resnet.resnet("resnet20", include_top=False, repeats=[1, 1])
    with pytest.raises(ValueError, match="Grad-CAM needs a classifier: resnet20 has no layer"):
        grad_cam(headless, exporting.pixels(1), layer="stage1")
