"""Random changes to images against numpy; each is a function of its seed alone."""

import itertools

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
import torch
from torchvision.transforms import functional as torchvision

from keras_resnet.preprocessing import Preprocessing
from keras_resnet.preprocessing.decoding import decode_view, seen
from keras_resnet.preprocessing.views import View, whole
from tests.support import helpers
from train import recipes
from train.augment.images import Cutting, jitter, lighting, resized_crop, scale_jitter
from train.recipes import plan

# Krizhevsky et al. (2012), section 4.1; the numbers are those of fb.resnet.torch,
# datasets/imagenet.lua: `eigval`, and `eigvec` with a component in each column.
DEVIATIONS = np.array([0.2175, 0.0188, 0.0045])
COMPONENTS = np.array(
    [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]]
)
NOISE = helpers.noise(1, 40, 56, 3)[0]
IDS = np.arange(1, 32 * 32 + 1, dtype=np.int32).reshape(32, 32, 1)  # every pixel another


def many(change, image: np.ndarray, count: int) -> np.ndarray:
    """Returns change(image, seed) for `count` seeds, [count, ...]."""
    seeds = tf.data.Dataset.range(count).map(lambda i: tf.stack([np.int64(7), i]))
    image = tf.constant(image)
    results = seeds.map(lambda seed: change(image, seed)).batch(count)
    return next(results.as_numpy_iterator())


def build(augmentation: str, size: int = 32, **changes):
    recipe = helpers.recipe(augmentation=augmentation, image_size=size, **changes)
    return helpers.augmentation(recipe, Preprocessing(image_size=size, crop=1.0))


def offsets(images: np.ndarray) -> list[tuple[int, int]]:
    """Finds each crop in the zero-padded image of ids, and checks every pixel of it."""
    padded = np.pad(IDS, [(4, 4), (4, 4), (0, 0)])
    found = []
    for image in images:
        centre = int(image[16, 16, 0]) - 1
        row = centre // 32 - 12
        column = centre % 32 - 12
        np.testing.assert_array_equal(image, padded[row : row + 32, column : column + 32])
        found.append((row, column))
    return found


def test_shift_is_any_of_the_81_crops_of_the_padded_image():
    found = offsets(many(build("shift"), IDS, 1500))
    assert set(found) == {(row, column) for row in range(9) for column in range(9)}


def test_cifar_shifts_and_mirrors_half_of_the_images():
    recipe = recipes.find("cifar10_resnet20")
    change = helpers.augmentation(recipe, Preprocessing(image_size=32, crop=1.0))
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
    flip = Cutting(lambda _seed: whole, flip=True)
    images = many(lambda image, seed: seen(image, flip.look(seed)), IDS, 1000)
    mirrored = (images == IDS[:, ::-1]).all((1, 2, 3))
    np.testing.assert_array_equal(mirrored, ~(images == IDS).all((1, 2, 3)))
    assert 0.45 < mirrored.mean() < 0.55


def windows(view, count: int, shape: tuple[int, int], size: int) -> np.ndarray:
    """Returns (top, left, height, width) of `count` views of an image of this shape."""
    return many(lambda old, seed: view(seed, size, old).window, np.int32(shape), count)


def test_resized_crop_takes_8_to_100_percent_at_ratios_of_3_to_4():
    found = windows(resized_crop, 600, (120, 160), 192)
    top, left, height, width = found.T
    area = height * width / (120 * 160)
    ratio = width / height
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
    top, left, sides, width = windows(scale_jitter, 1000, shape, 64).T
    np.testing.assert_array_equal(width, sides)
    assert set(sides) == set(range(round(64 * 224 / 480), round(64 * 224 / 256) + 1))
    assert np.min([top, left]) > -0.01
    assert np.min([shape[0] - top - sides, shape[1] - left - sides]) > -0.01
    assert np.ptp(left) > shape[1] / 2


def test_scale_jitter_draws_the_scaled_side_evenly():
    scaled = 960 * 224 / windows(scale_jitter, 60, (960, 960), 224)[:, 2]
    assert scaled.min() > 255
    assert scaled.max() < 481
    assert np.mean(scaled) == pytest.approx(368, abs=25)  # its own deviation is 8


def test_lighting_moves_all_pixels_of_an_image_by_one_vector():
    image = np.random.default_rng(0).uniform(0, 255, (8, 8, 3)).astype(np.float32)
    moved = many(lighting, image, 20) - image
    np.testing.assert_allclose(moved, np.broadcast_to(moved[:, :1, :1], moved.shape), atol=1e-3)
    assert len(np.unique(np.round(moved[:, 0, 0], 3), axis=0)) == 20


def test_lighting_moves_along_the_principal_axes_by_a_tenth_of_their_deviation():
    moved = many(lighting, np.zeros((1, 1, 3), np.float32), 2000)[:, 0, 0] / 255
    alphas = np.linalg.solve(COMPONENTS, moved.T) / DEVIATIONS[:, np.newaxis]
    np.testing.assert_allclose(alphas.std(1), 0.1, rtol=0.1)
    np.testing.assert_allclose(alphas.mean(1), 0, atol=0.01)
    np.testing.assert_allclose(np.corrcoef(alphas), np.eye(3), atol=0.1)


def test_lighting_leaves_images_without_three_channels():
    np.testing.assert_array_equal(many(lighting, IDS, 2), np.stack([IDS] * 2))


def factors(image: np.ndarray, changed: np.ndarray) -> np.ndarray:
    """Reads brightness, contrast and saturation off the part of an image that each acts on last."""
    grey, new = (x @ [0.299, 0.587, 0.114] for x in (image, changed))
    mean = grey.mean()
    brightness = new.mean() / grey.mean()
    contrast = (new - new.mean())[0, 0] / (grey - mean)[0, 0] / brightness
    chroma = (changed[0, 0] - new[0, 0])[0] / (image[0, 0] - grey[0, 0])[0]
    return np.array([brightness, contrast, chroma / brightness / contrast])


DULL = np.random.default_rng(0).uniform(70, 90, (6, 8, 3)).astype("float32")  # nothing is cut off


def test_jitter_is_that_of_torchvision_in_any_order():
    """Its weights of the colours sum to 0.9999, which is 0.1 of a level here."""
    pixels = torch.from_numpy(DULL.transpose(2, 0, 1) / 255)
    names = ("brightness", "contrast", "saturation")
    adjust = [getattr(torchvision, f"adjust_{name}") for name in names]
    for changed in many(jitter, DULL, 5):
        weights = factors(DULL, changed)
        for order in itertools.permutations(range(3)):
            expected = pixels
            for i in order:
                expected = adjust[i](expected, float(weights[i]))
            np.testing.assert_allclose(changed, 255 * expected.numpy().transpose(1, 2, 0), atol=0.1)


def test_jitter_draws_three_even_factors_apart():
    drawn = np.stack([factors(DULL, changed) for changed in many(jitter, DULL, 2000)])
    for weights in drawn.T:
        assert scipy.stats.kstest(weights, scipy.stats.uniform(0.6, 0.8).cdf).pvalue > 1e-3
    assert np.abs(np.corrcoef(drawn.T) - np.eye(3)).max() < 0.1  # 4 deviations


def test_jitter_knows_grey_images():
    """They have brightness and contrast."""
    image = DULL[:, :, :1]
    for changed in many(jitter, image, 20):
        line = np.polyfit(image.ravel(), changed.ravel(), 1)
        np.testing.assert_allclose(changed, np.polyval(line, image), atol=1e-3)
        assert 0.36 <= line[0] <= 1.96


AUGMENTATIONS = ["shift", "shift_flip", "random_resized_crop", "scale_jitter"]


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_the_seed_alone_decides_on_square_images_of_pixel_values(augmentation):
    change = build(augmentation)
    first = many(change, NOISE, 20)
    second = many(change, NOISE, 20)
    np.testing.assert_array_equal(first, second)
    assert first.shape == (20, 32, 32, 3)
    assert len(np.unique(first.reshape(20, -1), axis=0)) >= 18
    assert first.min() > -1e-3
    assert first.max() < 255 + 1e-3
    assert np.ptp(first) > 100


@pytest.mark.parametrize(
    ("policy", "shape", "kind"),
    [
        ("randaugment", (40, 56, 3), "uint8"),
        ("randaugment", (10, 8, 1), "float32"),
        ("trivial", (56, 40, 3), "float32"),
        ("trivial", (8, 8, 1), "uint8"),
    ],
    ids=str,
)
def test_cut_policy_and_colours_together(policy, shape, kind):
    """A change of colour may leave 0..255: nothing of it is cut off in fb.resnet.torch either."""
    changes = {"policy": policy, "magnitude": 0.7, "colour": "jitter_pca"}
    image = np.random.default_rng(0).integers(0, 256, shape).astype(kind)
    images = many(build("random_resized_crop", 8, **changes), image, 40)
    assert images.shape == (40, 8, 8, shape[-1])
    assert images.dtype == np.float32
    plain = many(build("random_resized_crop", 8, policy=policy, magnitude=0.7), image, 40)
    assert 0 <= plain.min() < plain.max() <= 255
    for i in range(40):
        seed = tf.constant([7, i], tf.int64)
        again = lighting(jitter(tf.constant(plain[i]), seed), seed)
        np.testing.assert_allclose(images[i], again, atol=1e-3)


def test_colours_are_a_choice_of_their_own():
    plain = many(build("none", 8), NOISE[:8, :8], 5)
    np.testing.assert_array_equal(plain, np.stack([NOISE[:8, :8]] * 5))
    moved = many(build("none", 8, colour="pca"), NOISE[:8, :8], 5) - plain
    np.testing.assert_allclose(moved, np.broadcast_to(moved[:, :1, :1], moved.shape), atol=1e-3)
    assert np.abs(moved).max() > 1


def test_training_images_have_their_own_size():
    recipe = helpers.recipe(augmentation="shift_flip", image_size=16)
    change = helpers.augmentation(recipe, Preprocessing(image_size=24, crop=0.875))
    assert many(change, NOISE, 2).shape == (2, 16, 16, 3)


@pytest.mark.parametrize("augmentation", ["none", "shift", "shift_flip"])
def test_many_images_change_together_as_one_by_one(augmentation):
    recipe = helpers.recipe(augmentation=augmentation, image_size=32)
    preprocess = Preprocessing(image_size=32, crop=1.0)
    together = plan.stream(recipe, preprocess, 10).together
    images = helpers.noise(50, 32, 32, 3).astype(np.uint8)
    seeds = [np.array([7, i]) for i in range(50)]
    draws = tf.stack([together.draw(seed) for seed in seeds])
    change = helpers.augmentation(recipe, preprocess)
    expected = [change(image, seed) for image, seed in zip(images, seeds, strict=True)]
    np.testing.assert_array_equal(together.change(tf.constant(images), draws), expected)


def test_shifts_and_mirrors_are_those_of_tensorflow():
    """So that runs that began before resume with the same pixels."""
    change = build("shift_flip")
    for i in range(20):
        seed = tf.constant([7, i], tf.int64)
        fold = tf.random.experimental.stateless_fold_in
        padded = tf.pad(IDS, [(4, 4), (4, 4), (0, 0)])
        cropped = tf.image.stateless_random_crop(padded, [32, 32, 1], fold(seed, 1))
        expected = tf.image.stateless_random_flip_left_right(cropped, fold(seed, 0))
        np.testing.assert_array_equal(change(IDS, seed), expected)


def test_large_crops_are_decoded_at_a_reduced_resolution():
    """The pixels are means of 2x2 and 4x4 of a photograph, nearly as Pillow's."""
    for size, ratio in ((300, 2), (140, 4)):
        ramp = np.linspace(0, 255, 700)
        photo = np.stack([*np.meshgrid(ramp, ramp), np.zeros((700, 700))], -1)
        data = tf.io.encode_jpeg(photo.astype(np.uint8), quality=100)
        view = View([0, 0, 640, 640], lambda image: image, least=size)
        reduced = decode_view(data, 3, lambda _size, view=view: view)
        assert reduced.shape[:2] == (640 // ratio, 640 // ratio)
        expected = photo[:640, :640].reshape(640 // ratio, ratio, 640 // ratio, ratio, 3)
        off = np.abs(np.float32(reduced) - expected.mean((1, 3)))
        assert off.max() < 5
        assert off.mean() < 1
