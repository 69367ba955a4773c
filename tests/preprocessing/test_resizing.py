"""Which pixels of an image a network sees, of squares and oblongs, against TensorFlow's resize."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.preprocessing import Preprocessing, decoding, mode
from tests.support.helpers import noise

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


OBLONG = [  # height, width, (height, width) kept, crop, height and width that are covered
    (300, 400, (96, 128), 1.0, (96, 128)),  # of the same shape
    (300, 400, (96, 96), 1.0, (96, 128)),
    (400, 300, (96, 128), 0.75, (227, 170)),  # 170.67 wide: 400 * 170 / 300 = 226.67 is cut to 226
    (90, 90, (64, 32), 0.8, (80, 80)),
    (31, 200, (60, 20), 0.875, (68, 438)),
]


@pytest.mark.parametrize(("height", "width", "size", "crop", "covered"), OBLONG)
def test_an_image_covers_an_oblong_and_loses_its_borders(
    height, width, size, crop, covered
) -> None:
    """By integers: the scaled image is the smallest that covers floor(size / crop)."""
    least = [int(side / crop) for side in size]
    rows = least[0] * width >= least[1] * height
    top, bottom = (least[0], height) if rows else (least[1], width)
    sides = [side * top // bottom for side in (height, width)]
    assert all(side >= low for side, low in zip(sides, least, strict=True))
    assert all(abs(side - cover) <= 1 for side, cover in zip(sides, covered, strict=True))
    image = smooth(height, width)
    scaled = tf.image.resize(image, sides, antialias=True).numpy()
    tops, lefts = (
        {(s - n) // 2, (s - n + 1) // 2} for s, n in zip(sides, size, strict=True)
    )  # the middle of an odd
    crops = [scaled[i : i + size[0], j : j + size[1]] for i in tops for j in lefts]
    found = np.asarray(Preprocessing(image_size=size, crop=crop).resize(image))
    assert found.shape == (*size, 3)
    assert min(np.abs(found - one).max() for one in crops) < 0.02


def test_an_oblong_network_sees_an_oblong_of_a_graph() -> None:
    chosen, image = mode("torch", image_size=(24, 40)), noise(3, 61, 77, 3)
    graph = tf.function(chosen, [tf.TensorSpec((None, None, None, 3), tf.uint8)])
    assert graph.get_concrete_function().output_shapes.as_list()[1:] == [24, 40, 3]
    np.testing.assert_allclose(graph(image), chosen(image), atol=1e-5)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    "shape", [(300, 411, 3), (500, 375, 3), (2, 77, 77, 1), (33, 9, 3), (1200, 1601, 3)]
)
def test_squares_are_what_they_were_bit_by_bit(shape, interpolation) -> None:
    """The published pixels of squares: the shorter side becomes size / crop."""
    image, size, crop = noise(*shape), 64, 0.875
    old = tf.cast(tf.stack(shape[-3:-1]), tf.float32)
    new = tf.floor(old * int(size / crop) / tf.reduce_min(old))
    expected = tf.raw_ops.ScaleAndTranslate(
        images=image.reshape(-1, *shape[-3:]),
        size=[size, size],
        scale=new / old,
        translation=-tf.round((new - size) / 2),
        kernel_type={"bilinear": "triangle", "bicubic": "keyscubic"}[interpolation],
        antialias=True,
    )
    expected = tf.clip_by_value(expected, 0, 255) if interpolation == "bicubic" else expected
    for given in (size, (size, size), [np.int64(size), size]):
        chosen = Preprocessing(image_size=given, crop=crop, interpolation=interpolation)
        found = np.asarray(chosen.resize(image)).reshape(expected.shape)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (np.int64(32), 32),
        (np.int32(7), 7),
        ((20, 30), (20, 30)),
        ([20, np.int64(30)], (20, 30)),
        ((30, 30), 30),
    ],
    ids=repr,
)
def test_sizes_are_a_side_or_height_and_width(given, kept) -> None:
    chosen = Preprocessing(image_size=given)
    assert chosen.image_size == kept
    assert chosen.size == (kept if isinstance(kept, tuple) else (kept, kept))
    sides = kept if isinstance(kept, tuple) else [kept]
    assert {type(side) for side in sides} == {int}


@pytest.mark.parametrize(
    "size", [0, -1, 3.5, "32", True, None, (20,), (20, 30, 3), (20, 0), (20, 2.5), (True, 5)]
)
def test_other_sizes_are_refused(size) -> None:
    with pytest.raises(ValueError, match="pixels per side, or") as caught:
        Preprocessing(image_size=size)
    assert str(caught.value).endswith(f"got {size!r}")


def smooth(height: int, width: int) -> np.ndarray:
    """An image of noise, and another value at every place."""
    ramp = np.linspace(0, 150, height)[:, None, None] + np.linspace(0, 50, width)[:, None]
    return np.float32(ramp + np.random.default_rng(1).uniform(0, 50, (height, width, 3)))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("shape", [(300, 411, 3), (20, 30, 1), (1, 1, 3), (2, 700, 3)])
def test_other_backends_resize_the_same(monkeypatch, shape, interpolation) -> None:
    """On TensorFlow an operation of its own, elsewhere that of Keras."""
    image = noise(*shape)
    chosen = Preprocessing(image_size=32, interpolation=interpolation)
    found = np.asarray(chosen.resize(image))
    monkeypatch.setattr(keras.backend, "backend", lambda: "another")
    np.testing.assert_allclose(found, np.asarray(chosen.resize(image)), atol=0.01)


def test_an_image_of_the_right_size_stays_as_it_is() -> None:
    image = noise(32, 32, 3)
    found = Preprocessing(image_size=32, crop=1.0).resize(image)
    np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize("shape", [(37, 90, 3), (300, 224, 1)])
def test_a_graph_resizes_images_of_unknown_size(shape: tuple[int, int, int]) -> None:
    chosen = Preprocessing(mean=(120.0,), std=(60.0,), image_size=24)
    graph = tf.function(chosen, [tf.TensorSpec((None, None, shape[-1]), tf.uint8)])
    image = noise(*shape)
    assert graph.get_concrete_function().output_shapes == (24, 24, shape[-1])
    np.testing.assert_allclose(graph(image), chosen(image), atol=1e-4)
    expected = (np.asarray(chosen.resize(image)) - 120) / 60
    np.testing.assert_allclose(chosen(image), expected, atol=1e-5)


@pytest.mark.parametrize(
    "values",
    [{}, {"interpolation": "bicubic", "crop": 0.95}, {"image_size": (20, 60), "crop": 0.5}],
    ids=str,
)
def test_the_window_of_a_jpeg_is_enough(values):
    """Of photographs with colours at half the resolution, upright, wide and smaller."""
    scaling = Preprocessing(**{"image_size": 64, **values})
    for shape in ((150, 200), (200, 131), (40, 50)):
        coarse = tf.random.stateless_uniform([9, 11, 3], [0, 1], 0, 255)
        photo = tf.cast(tf.image.resize(coarse, shape), tf.uint8)
        data = tf.io.encode_jpeg(photo, quality=90)
        whole = tf.io.decode_jpeg(data, dct_method="INTEGER_ACCURATE")
        found = decoding.decode_view(data, 3, scaling.view)
        np.testing.assert_allclose(found, scaling.resize(whole), atol=0.01)
        height, width = scaling.view(tf.constant(shape)).window[2:]
        assert shape[0] * shape[1] > int(height) * int(width) or min(shape) == 40
