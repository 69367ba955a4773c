"""From pixels to inputs and from probabilities to names, against the sources of the weights."""

import csv
import json
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.applications import imagenet_utils

from keras_resnet import decode_predictions, preprocess
from keras_resnet.labels import imagenet_labels
from keras_resnet.preprocessing import MODES, Preprocessing, mode, per_pixel
from tests.support import goldens
from tests.support.helpers import noise


@pytest.mark.parametrize("shape", [(8, 9, 3), (2, 8, 9, 3)], ids=["image", "batch"])
@pytest.mark.parametrize("name", ["caffe", "torch", "tf"])
def test_modes_are_those_of_keras_applications(name: str, shape) -> None:
    images = noise(*shape)
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
    images = noise(2, 4, 4, 1)
    assert preprocess(images, "none").dtype == "float32"
    np.testing.assert_array_equal(preprocess(images, "none"), images)
    assert preprocess(images, "tf").shape == images.shape


@pytest.mark.parametrize("name", ["imagenet", "", "Caffe"])
def test_unknown_modes_are_named(name: str) -> None:
    for call in (lambda: preprocess(noise(2, 2, 3), name), lambda: mode(name)):
        with pytest.raises(ValueError, match="'caffe', 'none', 'tf', 'torch'") as caught:
            call()
        assert repr(name) in str(caught.value)


@pytest.mark.parametrize("name", ["caffe", "torch"])
def test_modes_of_three_channels_refuse_others(name: str) -> None:
    with pytest.raises(ValueError, match=f"mode='{name}' needs 3 channels, got 1"):
        preprocess(noise(4, 4, 1), name)


@pytest.mark.parametrize("crop", [1.0, 0.875])
def test_modes_exist_for_other_sizes(crop: float) -> None:
    chosen = mode("torch", image_size=20, crop=crop)
    assert (chosen.image_size, chosen.crop) == (20, crop)
    assert (chosen.mean, chosen.std) == (MODES["torch"].mean, MODES["torch"].std)
    assert chosen(noise(50, 40, 3)).shape == (20, 20, 3)


def test_the_mean_image_is_subtracted_pixel_by_pixel() -> None:
    """arXiv:1512.03385, section 4.2, on images that are not resized."""
    images = noise(50, 32, 32, 3)
    mean = images.mean(0)
    chosen = per_pixel(mean)
    assert (chosen.image_size, chosen.crop, chosen.bgr) == (32, 1.0, False)
    found = np.stack([chosen(image) for image in images])
    np.testing.assert_allclose(found, images - mean, atol=1e-3)
    np.testing.assert_array_equal(found, chosen.normalize(images))
    for bad in (mean[0], mean[..., 0]):
        with pytest.raises(ValueError, match=str(bad.shape[0])):
            per_pixel(bad)


def test_a_mean_image_may_be_oblong() -> None:
    images = noise(50, 20, 32, 3)
    chosen = per_pixel(images.mean(0))
    assert (chosen.image_size, chosen.size, chosen.channels) == ((20, 32), (20, 32), 3)
    np.testing.assert_allclose(chosen(images), images - images.mean(0), atol=1e-3)
    assert chosen(noise(64, 70, 3)).shape == (20, 32, 3)
    with pytest.raises(ValueError, match=r"20x32 pixels, which does not fit image_size=32"):
        Preprocessing(mean=chosen.mean, image_size=32)


@pytest.mark.parametrize(
    "chosen",
    [
        *MODES.values(),
        mode("caffe", image_size=96, crop=0.9),
        mode("torch", image_size=(48, 96)),
        per_pixel(noise(4, 4, 3) / 7),
        per_pixel(noise(4, 6, 3) / 7),
    ],
    ids=[*MODES, "96", "48x96", "per-pixel", "per-pixel-4x6"],
)
def test_preprocessing_survives_json(chosen: Preprocessing) -> None:
    again = Preprocessing(**json.loads(json.dumps(asdict(chosen))))
    height, width = chosen.size
    image = noise(height + 5, width, 3)
    np.testing.assert_array_equal(again(image), chosen(image))
    assert (again.size, again.crop, again.bgr) == (chosen.size, chosen.crop, chosen.bgr)
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
