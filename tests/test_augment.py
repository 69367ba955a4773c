"""Random changes to images against numpy; each is a function of its seed alone."""

import helpers
import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.preprocessing import Preprocessing
from train import augment, recipes

# Krizhevsky et al. (2012), section 4.1; the numbers are those of fb.resnet.torch,
# datasets/imagenet.lua: `eigval`, and `eigvec` with a component in each column.
DEVIATIONS = np.array([0.2175, 0.0188, 0.0045])
COMPONENTS = np.array(
    [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]]
)
IDS = np.arange(1, 32 * 32 + 1, dtype=np.int32).reshape(32, 32, 1)  # every pixel another


def many(change, image: np.ndarray, count: int) -> np.ndarray:
    """Returns change(image, seed) for `count` seeds, [count, ...]."""
    seeds = tf.data.Dataset.range(count).map(lambda i: tf.stack([np.int64(7), i]))
    image = tf.constant(image)
    results = seeds.map(lambda seed: change(image, seed)).batch(count)
    return next(results.as_numpy_iterator())


def build(augmentation: str, size: int = 32):
    recipe = helpers.recipe(augmentation=augmentation, image_size=size)
    return augment.build(recipe, Preprocessing(image_size=size, crop=1.0))


def offsets(images: np.ndarray) -> list[tuple[int, int]]:
    """Finds each crop in the zero-padded image of ids, and checks every pixel of it."""
    padded = np.pad(IDS, [(4, 4), (4, 4), (0, 0)])
    found = []
    for image in images:
        centre = int(image[16, 16, 0]) - 1
        row, column = centre // 32 - 12, centre % 32 - 12
        np.testing.assert_array_equal(image, padded[row : row + 32, column : column + 32])
        found.append((row, column))
    return found


def test_shift_is_any_of_the_81_crops_of_the_padded_image():
    found = offsets(many(build("shift"), IDS, 1500))
    assert set(found) == {(row, column) for row in range(9) for column in range(9)}


def test_cifar_shifts_and_mirrors_half_of_the_images():
    recipe = recipes.find("cifar10_resnet20")
    change = augment.build(recipe, Preprocessing(image_size=32, crop=1.0))
    images = many(change, IDS, 1000)
    mirrored = images[:, 16, 17, 0] < images[:, 16, 16, 0]
    found = offsets(np.where(mirrored[:, None, None, None], images[:, :, ::-1], images))
    assert set(found) == {(row, column) for row in range(9) for column in range(9)}
    assert 0.45 < mirrored.mean() < 0.55  # 500 of 1,000 with a deviation of 16


def test_shifting_and_mirroring_are_drawn_apart():
    images = many(build("shift_flip"), IDS, 1000)
    mirrored = images[:, 16, 17, 0] < images[:, 16, 16, 0]
    rows = (np.where(mirrored, images[:, 16, 15, 0], images[:, 16, 16, 0]) - 1) // 32 - 12
    assert np.abs(np.corrcoef(mirrored, rows)[0, 1]) < 0.1


def test_flip_mirrors_half_of_the_images_and_changes_no_pixel():
    images = many(augment.flip, IDS, 1000)
    mirrored = (images == IDS[:, ::-1]).all((1, 2, 3))
    np.testing.assert_array_equal(mirrored, ~(images == IDS).all((1, 2, 3)))
    assert 0.45 < mirrored.mean() < 0.55


def test_none_changes_nothing():
    np.testing.assert_array_equal(many(build("none"), IDS, 3), np.stack([IDS] * 3))


def ramp(height: int, width: int) -> np.ndarray:
    """An image that says where its pixels come from: (row, column, 0)."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    return np.stack([rows, columns, np.zeros_like(rows)], -1)


def windows(images: np.ndarray) -> np.ndarray:
    """Returns (top, left, height, width) in source pixels, read off the middle of resized ramps.

    Enlarging by linear interpolation keeps a ramp a ramp, away from the edges of the window.
    """
    size = images.shape[1]
    low, high = size // 4, size - 1 - size // 4
    line = np.stack([images[:, :, size // 2, 0], images[:, size // 2, :, 1]], -1)
    slope = (line[:, high] - line[:, low]) / (high - low)
    start = line[:, low] + 0.5 - slope * (low + 0.5)
    return np.concatenate([start, slope * size], 1)


def test_resized_crop_takes_8_to_100_percent_at_ratios_of_3_to_4():
    change = lambda image, seed: augment.resized_crop(image, seed, 192)  # noqa: E731
    found = windows(many(change, ramp(120, 160), 600))
    top, left, height, width = found.T
    area, ratio = height * width / (120 * 160), width / height
    assert found[:, :2].min() > -0.01
    assert (top + height).max() < 120.01
    assert (left + width).max() < 160.01
    assert 0.07 < area.min() < 0.12
    assert 0.9 < area.max() < 1.001
    assert 0.72 < ratio.min() < 0.78
    assert 1.28 < ratio.max() < 1.38


@pytest.mark.parametrize("shape", [(64, 96), (96, 64)], ids=["wide", "tall"])
def test_scale_jitter_scales_the_shorter_side_to_256_to_480(shape):
    """A 224-pixel crop of an image whose shorter side of 64 becomes s shows 64 * 224 / s of it."""
    change = lambda image, seed: augment.scale_jitter(image, seed, 64)  # noqa: E731
    top, left, height, width = windows(many(change, ramp(*shape), 1000)).T
    sides = np.round(height)
    np.testing.assert_allclose(height, sides, atol=1e-2)
    np.testing.assert_allclose(width, sides, atol=1e-2)
    assert set(sides) == set(range(round(64 * 224 / 480), round(64 * 224 / 256) + 1))
    assert np.min([top, left]) > -0.01
    assert np.min([shape[0] - top - sides, shape[1] - left - sides]) > -0.01
    assert np.ptp(left) > shape[1] / 2


def test_scale_jitter_draws_the_scaled_side_evenly():
    change = lambda image, seed: augment.scale_jitter(image, seed, 224)  # noqa: E731
    image = ramp(960, 960)[:, :, :2]
    seeds = [tf.constant([7, i], tf.int64) for i in range(60)]
    images = np.stack([change(tf.constant(image), seed) for seed in seeds])
    scaled = 960 * 224 / windows(images)[:, 2]
    assert scaled.min() > 255
    assert scaled.max() < 481
    assert np.mean(scaled) == pytest.approx(368, abs=25)  # its own deviation is 8


def test_colour_moves_all_pixels_of_an_image_by_one_vector():
    image = np.random.default_rng(0).uniform(0, 255, (8, 8, 3)).astype(np.float32)
    moved = many(augment.colour, image, 20) - image
    np.testing.assert_allclose(moved, np.broadcast_to(moved[:, :1, :1], moved.shape), atol=1e-3)
    assert len(np.unique(np.round(moved[:, 0, 0], 3), axis=0)) == 20


def test_colour_moves_along_the_principal_axes_by_a_tenth_of_their_deviation():
    moved = many(augment.colour, np.zeros((1, 1, 3), np.float32), 2000)[:, 0, 0] / 255
    alphas = np.linalg.solve(COMPONENTS, moved.T) / DEVIATIONS[:, np.newaxis]
    np.testing.assert_allclose(alphas.std(1), 0.1, rtol=0.1)
    np.testing.assert_allclose(alphas.mean(1), 0, atol=0.01)
    np.testing.assert_allclose(np.corrcoef(alphas), np.eye(3), atol=0.1)


def test_colour_leaves_images_without_three_channels():
    np.testing.assert_array_equal(many(augment.colour, IDS, 2), np.stack([IDS] * 2))


AUGMENTATIONS = ["shift", "shift_flip", "random_resized_crop", "scale_jitter"]


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_the_seed_alone_decides(augmentation):
    image = np.random.default_rng(0).integers(0, 256, (40, 56, 3)).astype(np.uint8)
    change = build(augmentation)
    first, second = many(change, image, 20), many(change, image, 20)
    np.testing.assert_array_equal(first, second)
    assert first.shape == (20, 32, 32, 3)
    assert len(np.unique(first.reshape(20, -1), axis=0)) >= 18


@pytest.mark.parametrize("augmentation", ["none", *AUGMENTATIONS])
def test_images_leave_square_and_of_pixel_values(augmentation):
    image = np.random.default_rng(0).integers(0, 256, (40, 56, 3)).astype(np.uint8)
    images = many(build(augmentation, 16), image, 20)
    assert images.shape == (20, 16, 16, 3)
    slack = 255 * 0.1 * 4 * DEVIATIONS.max() if augmentation == "scale_jitter" else 1e-3
    assert images.min() > -slack
    assert images.max() < 255 + slack
    assert np.ptp(images) > 100
