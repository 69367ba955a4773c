"""The ResNets of keras.applications and ours, from one file: logits, gradients, preprocessing."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.applications import resnet as theirs
from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

import keras_resnet
from keras_resnet import resnet
from keras_resnet.weights.sources import keras_applications
from tests.support.products import crossed

BOUND = 1e-4
ODD, IMAGENET = (97, 115), (224, 224)
V2 = {"stride_block": "last", "stem_norm": False}
NETWORKS = {
    "ResNet50": ("resnet50", {}),
    "ResNet101": ("resnet101", {}),
    "ResNet152": ("resnet152", {}),
    "ResNet50V2": ("resnet50_v2", V2),
    "ResNet101V2": ("resnet101_v2", V2),
    "ResNet152V2": ("resnet152_v2", V2),
}
BOTH = ("ResNet50", "ResNet50V2")
both = pytest.mark.parametrize("name", BOTH)


def randomize(model: keras.Model) -> None:
    """Gives every number a value of its own, also biases, which start at 0.

    Some variances are as small as epsilon, so that another epsilon would show; gamma makes up
    for them.
    """
    random = np.random.default_rng(0)
    for layer in model.layers:
        shapes = [weight.shape for weight in layer.weights]
        if isinstance(layer, keras.layers.BatchNormalization):
            variance = 10 ** random.uniform(-6, 0, shapes[0])
            gamma = random.uniform(0.3, 1, shapes[0]) * np.sqrt(variance + 1e-5)
            shifts = random.normal(0, 0.3, (2, *shapes[0]))
            layer.set_weights([gamma, *shifts, variance])
        elif shapes:
            kernel, *bias = shapes
            scale = np.sqrt(2 / np.prod(kernel[:-1]))
            values = [random.normal(0, scale, kernel)]
            layer.set_weights(values + [random.normal(0, 0.3, shape) for shape in bias])


def build(name: str, **arguments) -> keras.Model:
    image = keras.Input((None, None, 3))
    make = getattr(keras.applications, name)
    made = make(weights=None, input_tensor=image, classifier_activation=None, **arguments)
    model = keras.Model(image, made.output)  # theirs warns of images that come in no list
    randomize(model)
    return model


@lru_cache
def fifty(name: str) -> keras.Model:
    return build(name)


def save_old(model: keras.Model, file: Path) -> None:
    """As Keras 2 saved weights, and the published files are."""
    with h5py.File(file, "w") as stream:
        save_weights_to_hdf5_group(stream, model)


FORMATS: dict[str, Callable[[keras.Model, Path], None]] = {
    "old.h5": save_old,
    "whole.h5": lambda model, file: model.save(file),
    "new.weights.h5": lambda model, file: model.save_weights(file),
    "new.keras": lambda model, file: model.save(file),
}


def saved(model: keras.Model, folder: Path, name: str = "old.h5") -> Path:
    FORMATS[name](model, folder / name)
    return folder / name


def images(*size: int) -> np.ndarray:
    """A dark and a bright image, of numbers that biases show against."""
    noise = np.random.default_rng(1).normal(size=(2, *size, 3))
    return np.float32(noise * [[[[1]]], [[[3]]]] + [[[[-1]]], [[[2]]]])


def error(found, expected) -> float:
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def fits(ours: keras.Model, their: keras.Model, size: tuple[int, int]) -> None:
    x = images(*size)
    expected = np.asarray(their(x))
    # Logits that hardly differ between two images would hide what the network does to them.
    assert np.ptp(expected, axis=0).max() > 0.1 * np.abs(expected).max()
    assert error(ours(x), expected) < BOUND


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in BOTH])
def test_deep_networks_have_their_logits(name: str, tmp_path) -> None:
    network, fields = NETWORKS[name]
    model = build(name)
    found = resnet.from_weights(saved(model, tmp_path), classifier_activation=None)
    assert (found.manifest.network, found.manifest.fields) == (network, fields)
    fits(found, model, ODD)


@crossed("file,name", FORMATS, BOTH)
def test_every_format_gives_their_logits(name: str, file: str, tmp_path) -> None:
    network, fields = NETWORKS[name]
    place = saved(fifty(name), tmp_path, file)
    found = resnet.from_weights(place, classifier_activation=None)
    assert (found.manifest.network, found.manifest.fields) == (network, fields)
    assert found.manifest.source["name"] == "keras_applications"
    fits(found, fifty(name), ODD)


@both
def test_named_networks_have_their_logits(name: str, tmp_path) -> None:
    network, fields = NETWORKS[name]
    file = saved(fifty(name), tmp_path)
    found = resnet(network, weights=file, classifier_activation=None, **fields)
    fits(found, fifty(name), ODD)
    fits(found, fifty(name), IMAGENET)


def gradients(model: keras.Model, paths: list[str], x: np.ndarray) -> list[np.ndarray]:
    by_path = {variable.path: variable.value for variable in model.trainable_variables}
    variables = [by_path[path] for path in paths]
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(model(x, training=False)))
    return [np.asarray(gradient) for gradient in tape.gradient(loss, variables)]


@pytest.fixture
def float64():
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("name", ["ResNet50", pytest.param("ResNet50V2", marks=pytest.mark.slow)])
def test_gradients_are_theirs(name: str, tmp_path, float64) -> None:
    """In float32 the rounding of one machine or another would decide slopes of ReLU next to 0."""
    model = build(name)
    found = resnet.from_weights(saved(model, tmp_path), classifier_activation=None)
    paths = {
        "conv1_conv/kernel": "stem_conv1/kernel",
        "conv3_block4_2_conv/kernel": "stage2_block4_conv2/kernel",
        "conv5_block2_1_bn/gamma": "stage4_block2_conv1_bn/gamma",
    }
    x = np.float64(images(*ODD))
    expected = gradients(model, list(paths), x)
    ours = gradients(found, list(paths.values()), x)
    for path, one, other in zip(paths, ours, expected, strict=True):
        assert error(one, other) < BOUND, path


@both
def test_images_are_prepared_as_theirs(name: str, tmp_path) -> None:
    module = keras.applications.resnet_v2 if "V2" in name else keras.applications.resnet
    model = resnet.from_weights(saved(fifty(name), tmp_path), include_top=False)
    pixels = np.random.default_rng(2).integers(0, 256, (5, 7, 3)).astype("uint8")
    expected = module.preprocess_input(np.float32(pixels))
    np.testing.assert_allclose(model.preprocessing.normalize(pixels), expected, atol=2e-5)


@both
def test_files_without_a_classifier_fit_networks_without_one(name: str, tmp_path) -> None:
    network, fields = NETWORKS[name]
    model = build(name, include_top=False, pooling="avg")
    file = saved(model, tmp_path)
    found = resnet(network, weights=file, include_top=False, pooling="avg", **fields)
    fits(found, model, ODD)
    with pytest.raises(
        ValueError, match=r"old\.h5.*missing are \['logits/kernel', 'logits/bias'\]"
    ):
        resnet(network, weights=file, **fields)


def test_v1_is_no_v1_5(tmp_path) -> None:
    """Their tensors have the same shapes; only the source tells them apart."""
    file = saved(fifty("ResNet50"), tmp_path)
    with pytest.raises(ValueError, match="stride_on='first' in the file, not '3x3'") as caught:
        keras_resnet.ResNet50V1_5(weights=file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("given", [[], ["stride_block"], ["stem_norm"]], ids=str)
def test_their_v2_is_not_the_authors(given: list[str], tmp_path) -> None:
    file = saved(fifty("ResNet50V2"), tmp_path)
    with pytest.raises(ValueError, match="weights of another network") as caught:
        keras_resnet.ResNet50V2(weights=file, **{field: V2[field] for field in given})
    words = {
        "stride_block": "stride_block='last' in the file, not 'first'",
        "stem_norm": "stem_norm=False in the file, not True",
    }
    told = [field for field, word in words.items() if word in str(caught.value)]
    assert told == [field for field in words if field not in given]


def test_published_files_are_theirs() -> None:
    expected = {
        network: (name.lower(), theirs.WEIGHTS_HASHES[name.lower()][0])
        for name, (network, _) in NETWORKS.items()
    }
    assert expected == keras_applications.OFFICIAL
    assert theirs.BASE_WEIGHTS_PATH == keras_applications.URL
