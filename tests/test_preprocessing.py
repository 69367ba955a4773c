"""From pixels to inputs and from probabilities to names, against the sources of the weights."""

import csv
import json
from dataclasses import asdict
from pathlib import Path

import goldens
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.applications import imagenet_utils

from keras_resnet import decode_predictions, preprocess
from keras_resnet.preprocessing import MODES, Preprocessing, imagenet_labels, mode, per_pixel


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("shape", [(8, 9, 3), (2, 8, 9, 3)], ids=["image", "batch"])
@pytest.mark.parametrize("name", ["caffe", "torch", "tf"])
def test_modes_are_those_of_keras_applications(name: str, shape) -> None:
    images = pixels(*shape)
    expected = imagenet_utils.preprocess_input(np.float32(images), "channels_last", name)
    for given in (images, np.float32(images), tf.constant(images)):
        found = preprocess(given, name)
        assert found.dtype == "float32"
        np.testing.assert_allclose(found, expected, atol=2e-5)


def test_the_mean_of_the_caffe_models_is_bgr() -> None:
    """github.com/KaimingHe/deep-residual-networks: red is the last channel, with 123.68."""
    red = np.zeros((1, 1, 3), np.uint8)
    red[..., 0] = 255
    expected = [[[0 - 103.939, 0 - 116.779, 255 - 123.68]]]
    np.testing.assert_allclose(preprocess(red), expected, rtol=1e-6)
    np.testing.assert_allclose(preprocess(red, "caffe"), expected, rtol=1e-6)


def test_no_scaling_only_casts() -> None:
    images = pixels(2, 4, 4, 1)
    assert preprocess(images, "none").dtype == "float32"
    np.testing.assert_array_equal(preprocess(images, "none"), images)
    assert preprocess(images, "tf").shape == images.shape


@pytest.mark.parametrize("name", ["imagenet", "", "Caffe"])
def test_unknown_modes_are_named(name: str) -> None:
    for call in (lambda: preprocess(pixels(2, 2, 3), name), lambda: mode(name)):
        with pytest.raises(ValueError, match="'caffe', 'none', 'tf', 'torch'") as caught:
            call()
        assert repr(name) in str(caught.value)


@pytest.mark.parametrize("name", ["caffe", "torch"])
def test_modes_of_three_channels_refuse_others(name: str) -> None:
    with pytest.raises(ValueError, match=f"mode='{name}' needs 3 channels, got 1"):
        preprocess(pixels(4, 4, 1), name)


@pytest.mark.parametrize("crop", [1.0, 0.875])
def test_modes_exist_for_other_sizes(crop: float) -> None:
    chosen = mode("torch", image_size=20, crop=crop)
    assert (chosen.image_size, chosen.crop) == (20, crop)
    assert (chosen.mean, chosen.std) == (MODES["torch"].mean, MODES["torch"].std)
    assert chosen(pixels(50, 40, 3)).shape == (20, 20, 3)


def test_the_mean_image_is_subtracted_pixel_by_pixel() -> None:
    """arXiv:1512.03385, section 4.2, on images that are not resized."""
    images = pixels(50, 32, 32, 3)
    mean = images.mean(0)
    chosen = per_pixel(mean)
    assert (chosen.image_size, chosen.crop, chosen.bgr) == (32, 1.0, False)
    found = np.stack([chosen(image) for image in images])
    np.testing.assert_allclose(found, images - mean, atol=1e-3)
    np.testing.assert_array_equal(found, chosen.normalize(images))
    for bad in (mean[0], mean[:-1], mean[..., 0]):
        with pytest.raises(ValueError, match=str(bad.shape[0])):
            per_pixel(bad)


SIZES = [  # height, width, size, crop, shorter side: size / crop, as torchvision's Resize(256)
    (300, 400, 224, 0.875, 256),
    (411, 260, 224, 0.875, 256),
    (100, 100, 224, 0.875, 256),
    (64, 90, 32, 1.0, 32),
    (20, 30, 32, 0.875, 36),
    (48, 48, 24, 0.75, 32),
]


@pytest.mark.parametrize(("height", "width", "size", "crop", "shorter"), SIZES)
def test_resizing_is_tensorflows_with_a_central_crop(height, width, size, crop, shorter) -> None:
    image = smooth(height, width)
    sides = [side * shorter // min(height, width) for side in (height, width)]
    scaled = tf.image.resize(image, sides, antialias=True).numpy()
    tops, lefts = ({(s - size) // 2, (s - size + 1) // 2} for s in sides)  # the middle of an odd
    crops = [scaled[i : i + size, j : j + size] for i in tops for j in lefts]
    found = np.asarray(Preprocessing(image_size=size, crop=crop).resize(image))
    assert found.shape == (size, size, 3)
    assert min(np.abs(found - one).max() for one in crops) < 0.02


def smooth(height: int, width: int) -> np.ndarray:
    """An image of noise, and another value at every place."""
    ramp = np.linspace(0, 150, height)[:, None, None] + np.linspace(0, 50, width)[:, None]
    return np.float32(ramp + np.random.default_rng(1).uniform(0, 50, (height, width, 3)))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("shape", [(300, 411, 3), (20, 30, 1), (1, 1, 3), (2, 700, 3)])
def test_other_backends_resize_the_same(monkeypatch, shape, interpolation) -> None:
    """On TensorFlow an operation of its own, elsewhere that of Keras."""
    image = pixels(*shape)
    chosen = Preprocessing(image_size=32, interpolation=interpolation)
    found = np.asarray(chosen.resize(image))
    monkeypatch.setattr(keras.backend, "backend", lambda: "another")
    np.testing.assert_allclose(found, np.asarray(chosen.resize(image)), atol=0.01)


def test_an_image_of_the_right_size_stays_as_it_is() -> None:
    image = pixels(32, 32, 3)
    found = Preprocessing(image_size=32, crop=1.0).resize(image)
    np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize("shape", [(37, 90, 3), (300, 224, 1)])
def test_a_graph_resizes_images_of_unknown_size(shape: tuple[int, int, int]) -> None:
    chosen = Preprocessing(mean=(120.0,), std=(60.0,), image_size=24)
    graph = tf.function(chosen, [tf.TensorSpec((None, None, shape[-1]), tf.uint8)])
    image = pixels(*shape)
    assert graph.get_concrete_function().output_shapes == (24, 24, shape[-1])
    np.testing.assert_allclose(graph(image), chosen(image), atol=1e-4)
    expected = (np.asarray(chosen.resize(image)) - 120) / 60
    np.testing.assert_allclose(chosen(image), expected, atol=1e-5)


@pytest.mark.parametrize(
    "chosen",
    [*MODES.values(), mode("caffe", image_size=96, crop=0.9), per_pixel(pixels(4, 4, 3) / 7)],
    ids=[*MODES, "96", "per-pixel"],
)
def test_preprocessing_survives_json(chosen: Preprocessing) -> None:
    again = Preprocessing(**json.loads(json.dumps(asdict(chosen))))
    size = chosen.image_size
    image = pixels(size + 5, size, 3)
    np.testing.assert_array_equal(again(image), chosen(image))
    assert (again.image_size, again.crop, again.bgr) == (size, chosen.crop, chosen.bgr)
    assert again == chosen


def test_labels_are_those_of_the_challenge() -> None:
    labels = imagenet_labels()
    assert len(labels) == len({wnid for wnid, _ in labels}) == 1000
    assert [wnid for wnid, _ in labels] == sorted(wnid for wnid, _ in labels)
    for index, label in goldens.IMAGENET_LABELS.items():
        assert labels[index] == label


@pytest.mark.parametrize(
    ("file", "number"), [("imagenet_labels.csv", 1000), ("imagenet_mini/labels.csv", 50)]
)
def test_labels_are_those_of_real_data(data_dir: Path, file: str, number: int) -> None:
    with (data_dir / file).open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) >= number
    labels = imagenet_labels()
    for row in rows:
        assert labels[int(row["class_index"])] == (row["wnid"], row["class_name"])


def test_the_most_probable_classes_are_named() -> None:
    probabilities = np.full((2, 1000), 1e-4, np.float32)
    probabilities[0, [207, 999, 0]] = [0.5, 0.3, 0.1]
    probabilities[1, 1] = 0.9
    expected = [(*goldens.IMAGENET_LABELS[i], p) for i, p in ((207, 0.5), (999, 0.3), (0, 0.1))]
    for given in (probabilities, keras.ops.convert_to_tensor(probabilities)):
        first, second = decode_predictions(given, top=3)
        for (*label, probability), (*wanted, value) in zip(first, expected, strict=True):
            assert label == wanted
            assert probability == pytest.approx(value)
        assert second[0][:2] == goldens.IMAGENET_LABELS[1]
    assert [len(row) for row in decode_predictions(probabilities)] == [5, 5]


@pytest.mark.parametrize("top", [0, -1, 1001])
def test_decoding_refuses_other_numbers(top: int) -> None:
    with pytest.raises(ValueError, match=f"between 1 and 1000, got {top}"):
        decode_predictions(np.zeros((1, 1000)), top=top)


@pytest.mark.parametrize("shape", [(1000,), (2, 10), (1, 2, 1000)])
def test_decoding_refuses_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="1000") as caught:
        decode_predictions(np.zeros(shape))
    assert str(shape) in str(caught.value)
