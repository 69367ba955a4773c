"""RandAugment and TrivialAugment against PIL, timm and torchvision, and their draws."""

import functools
import random

import keras
import numpy as np
import pytest
import scipy.stats
import sklearn.datasets
import tensorflow as tf
import torch
from PIL import Image, ImageFilter
from timm.data import auto_augment as timm
from torchvision.transforms import InterpolationMode, autoaugment as torchvision

from train.augment import policies

GEOMETRY = ["Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY"]
GEOMETRY += ["TranslateXRel", "TranslateYRel"]
INCREASING = {name.removesuffix("Increasing"): name for name in timm._RAND_INCREASING_TRANSFORMS}
DRAWS = [(0.0, 1.0), (0.2, 1.0), (0.7, -1.0), (0.93, 1.0)]


def photograph(height: int, width: int) -> Image.Image:
    """Smooth at the scale of a pixel, tinted, and without black and white, as photographs are."""
    coarse = np.random.default_rng(0).integers(0, 256, (height // 5, width // 5, 3))
    tinted = (coarse * [0.6, 0.4, 0.25] + [40, 70, 20]).astype("uint8")
    return Image.fromarray(tinted).resize((width, height), Image.Resampling.BICUBIC)


def digit() -> Image.Image:
    return Image.fromarray((sklearn.datasets.load_digits().images[7] * 15.9).astype("uint8"))


IMAGES = {"colour": photograph(60, 80), "grey": photograph(75, 50).convert("L"), "digit": digit()}
each_image = pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)


def array(image: Image.Image) -> np.ndarray:
    pixels = np.asarray(image)
    return pixels if pixels.ndim == 3 else pixels[:, :, np.newaxis]


def ours(name: str, image: Image.Image, strength: float, fill: float) -> np.ndarray:
    """Runs one operation as a policy does: whole levels before it and after it."""
    space = {name: lambda level, sign: tf.constant(strength, tf.float32)}
    draw = (tf.constant(0), tf.constant(0.0), tf.constant(1.0))
    return policies.perform(tf.constant(array(image)), draw, space, fill).numpy()


def theirs(name: str, image: Image.Image, strength: float, fill: int) -> np.ndarray:
    """What PIL makes of it, through timm."""
    takes = timm.LEVEL_TO_ARG[INCREASING.get(name, name)]
    whole = name in ("Posterize", "Solarize", "SolarizeAdd")
    strengths = [] if takes is None else [int(strength) if whole else strength]
    kwargs = {"fillcolor": (fill,) * len(image.getbands()), "resample": Image.Resampling.BILINEAR}
    return array(timm.NAME_TO_OP[name](image, *strengths, **kwargs))


def strength(space, name: str, level: float, sign: float) -> float:
    return float(space[name](tf.constant(level), tf.constant(sign)))


@each_image
@pytest.mark.parametrize("name", [name for name in policies.RANDAUGMENT if name not in GEOMETRY])
def test_changes_of_grey_levels_are_those_of_pil(name, image):
    """To the level but where a product in float32 falls on the other side of a whole level."""
    for level, sign in DRAWS:
        much = strength(policies.RANDAUGMENT, name, level, sign)
        different = np.abs(ours(name, image, much, 128.0) - theirs(name, image, much, 128))
        assert different.max() <= 1, (level, sign)
        assert (different > 0).mean() < 0.01, (level, sign)


@each_image
@pytest.mark.parametrize("name", [name for name in GEOMETRY if name in policies.RANDAUGMENT])
def test_moves_are_those_of_pil_away_from_the_edges(name, image):
    """At its edges the image fades out over a pixel, as torchvision's; PIL cuts it off."""
    for level, sign in DRAWS:
        much = strength(policies.RANDAUGMENT, name, level, sign)
        found = ours(name, image, much, 128.0)
        expected = theirs(name, image, much, 128)
        white = Image.fromarray(theirs(name, Image.new("L", image.size, 255), much, 0)[:, :, 0])
        edge = array(white.filter(ImageFilter.MaxFilter(3))) != array(
            white.filter(ImageFilter.MinFilter(3))
        )
        different = (np.abs(found - expected) * ~edge)[1:-1, 1:-1]
        assert different.max() <= 1, (level, sign)


@each_image
@pytest.mark.parametrize("name", policies.TRIVIAL)
def test_operations_are_those_of_torchvision(name, image):
    """To one level, as its tensors are rounded where PIL and this package cut fractions off."""
    for level, sign in DRAWS:
        much = strength(policies.TRIVIAL, name, level, sign)
        magnitude = much - 1 if name in ("Brightness", "Color", "Contrast", "Sharpness") else much
        much = -much if name.startswith("Translate") else much  # it says where pixels go
        pixels = torch.from_numpy(array(image).transpose(2, 0, 1).copy())
        bilinear = InterpolationMode.BILINEAR
        expected = torchvision._apply_op(pixels, name, magnitude, bilinear, None).numpy()
        found = ours(name, image, much, 0.0)
        assert np.abs(found - expected.transpose(1, 2, 0).astype(float)).max() <= 1, (level, sign)


def test_trivial_has_the_operations_and_strengths_of_torchvision():
    expected = torchvision.TrivialAugmentWide()._augmentation_space(policies.LEVELS)
    assert list(policies.TRIVIAL) == list(expected)
    for name, (magnitudes, signed) in expected.items():
        levels = range(policies.LEVELS) if magnitudes.ndim else []
        for i in levels:
            for sign in (-1.0, 1.0):
                found = strength(policies.TRIVIAL, name, i / (policies.LEVELS - 1), sign)
                magnitude = magnitudes[i].item() * (sign if signed else 1)
                enhances = name in ("Brightness", "Color", "Contrast", "Sharpness")
                if name.startswith("Translate"):
                    magnitude = int(round(magnitude, 4))  # one is 15.999999
                assert found == pytest.approx(magnitude + enhances, abs=1e-4), (name, i)


def test_randaugment_has_the_operations_and_strengths_of_timm(monkeypatch):
    """But for 0 bits at full strength: a black image, which PIL has come to refuse."""
    names = [INCREASING[name] for name in policies.RANDAUGMENT]
    assert names == timm._RAND_INCREASING_TRANSFORMS
    for name in policies.RANDAUGMENT:
        takes = timm.LEVEL_TO_ARG[INCREASING[name]]
        for level in (0.03, 0.31, 0.69, 0.74, 0.99) if takes else ():
            for sign, drawn in ((-1.0, 0.9), (1.0, 0.1)):
                monkeypatch.setattr(random, "random", lambda drawn=drawn: drawn)
                (expected,) = takes(10 * level, {})
                found = strength(policies.RANDAUGMENT, name, level, sign)
                assert found == pytest.approx(expected, abs=1e-4), (name, level)
    assert strength(policies.RANDAUGMENT, "Posterize", 1.0, 1.0) == 1


def drawn(draw, count: int) -> tuple[np.ndarray, ...]:
    seeds = tf.data.Dataset.range(count).map(lambda i: tf.stack([np.int64(7), i]))
    return next(seeds.map(draw).batch(count).as_numpy_iterator())


def test_trivial_draws_operations_levels_and_signs_evenly_and_apart():
    index, level, sign = drawn(policies.draw_trivial, 6000)
    counts = np.bincount(index, minlength=len(policies.TRIVIAL))
    assert scipy.stats.chisquare(counts).pvalue > 1e-3
    steps = np.bincount(np.round(level * 30).astype(int), minlength=31)
    assert scipy.stats.chisquare(steps).pvalue > 1e-3
    assert set(sign) == {-1, 1}
    assert np.abs(np.corrcoef([index, level, sign]) - np.eye(3)).max() < 0.05  # 4 deviations


def test_randaugment_draws_half_of_the_time_and_around_its_magnitude():
    index, level, sign = drawn(lambda seed: policies.draw_randaugment(seed, 0.7), 6000)
    assert np.mean(index == -1) == pytest.approx(0.5, abs=0.025)  # 4 deviations
    taken = np.bincount(index[index >= 0], minlength=len(policies.RANDAUGMENT))
    assert scipy.stats.chisquare(taken).pvalue > 1e-3
    assert scipy.stats.kstest(level, scipy.stats.norm(0.7, 0.05).cdf).pvalue > 1e-3
    assert np.mean(sign) == pytest.approx(0, abs=0.05)


def test_levels_end_at_1_and_0():
    for magnitude in (0.0, 1.0):
        level = drawn(lambda seed, m=magnitude: policies.draw_randaugment(seed, m), 500)[1]
        assert np.mean(level == magnitude) == pytest.approx(0.5, abs=0.1)
        assert 0 <= level.min() <= level.max() <= 1


def many(policy: str, images: list[np.ndarray], magnitude: float = 0.9) -> np.ndarray:
    change = policies.policy(policy, magnitude)
    numbers = tf.data.Dataset.range(len(images))
    stream = tf.data.Dataset.zip(tf.data.Dataset.from_tensor_slices(np.stack(images)), numbers)
    stream = stream.map(lambda x, i: change(x, tf.stack([np.int64(7), i])), tf.data.AUTOTUNE)
    return next(stream.batch(len(images)).as_numpy_iterator())


@pytest.mark.parametrize("policy", ["randaugment", "trivial"])
def test_the_seed_decides_and_pixels_stay_whole(policy):
    images = [array(IMAGES["colour"])] * 60
    first = many(policy, images)
    second = many(policy, [x + np.float32(0.4) for x in images])
    np.testing.assert_array_equal(first, second)
    assert first.shape == (60, 60, 80, 3)
    assert first.dtype == np.float32
    assert 0 <= first.min() < first.max() <= 255
    np.testing.assert_array_equal(first, np.round(first))
    assert len(np.unique(first.reshape(60, -1), axis=0)) > 25  # a quarter is as it came


@pytest.mark.parametrize("policy", ["randaugment", "trivial"])
def test_digits_of_one_channel_pass(policy):
    found = many(policy, [array(digit())] * 60, magnitude=0.7)
    assert found.shape == (60, 8, 8, 1)
    assert 0 <= found.min() < found.max() <= 255
    assert len(np.unique(found.reshape(60, -1), axis=0)) > 10


def test_none_is_none():
    images = [array(digit())] * 3
    np.testing.assert_array_equal(many("none", images), np.stack(images))


def test_of_two_operations_each_runs_half_of_the_time_and_no_other(monkeypatch):
    """A graph that computed all of them and chose would count fifteen times as many."""
    ran: list[str] = []

    def brighter(image: np.ndarray, name: str) -> np.ndarray:
        ran.append(name)
        return image + np.float32(1)

    def counting(fill: float) -> dict[str, policies.Operation]:
        def operation(name: str):
            run = functools.partial(brighter, name=name)
            return lambda image, _: tf.numpy_function(run, [image], tf.float32)

        return {name: operation(name) for name in policies.RANDAUGMENT}

    monkeypatch.setattr(policies, "operations", counting)
    times = many("randaugment", [np.zeros((1, 1, 1), np.uint8)] * 400).ravel().astype(int)
    assert len(ran) == times.sum()
    assert set(ran) == set(policies.RANDAUGMENT)
    assert scipy.stats.chisquare(np.bincount(times), [100, 200, 100]).pvalue > 1e-3


def test_half_precision_of_the_network_leaves_images_alone():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        found = ours("AutoContrast", IMAGES["colour"], 0.0, 0.0)
    finally:
        keras.config.set_dtype_policy("float32")
    assert np.abs(found - theirs("AutoContrast", IMAGES["colour"], 0.0, 0)).max() <= 1
