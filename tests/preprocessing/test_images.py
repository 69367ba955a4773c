"""What `Preprocessing` takes: arrays, tensors, PIL images, files, lists, symbols; or refuses."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_resnet import resnet
from keras_resnet.preprocessing import Preprocessing, mode, per_pixel, pixels
from tests.support import helpers

CHOSEN = mode("torch", image_size=(24, 32))


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def refused(call, error: type[Exception] = ValueError) -> str:
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_list_holds_images_of_different_sizes() -> None:
    arrays = [noise(40, 50, 3), noise(61, 33, 3, seed=1)]
    expected = np.stack([CHOSEN(array) for array in arrays])
    for given in (arrays, tuple(arrays), [tf.constant(array) for array in arrays]):
        np.testing.assert_array_equal(CHOSEN(given), expected)
    np.testing.assert_array_equal(CHOSEN([Image.fromarray(array) for array in arrays]), expected)


@pytest.mark.parametrize("given", ["RGB", "L", "RGBA", "P", "LA", "1", "CMYK"])
@pytest.mark.parametrize("channels", [1, 3])
def test_pil_converts_its_images(given: str, channels: int) -> None:
    image = Image.fromarray(noise(40, 50, 3)).convert(given)
    wanted = np.asarray(image.convert({1: "L", 3: "RGB"}[channels])).reshape(40, 50, channels)
    chosen = mode("tf", image_size=(24, 32)).for_channels(channels)
    np.testing.assert_array_equal(chosen(image), chosen(wanted))


def test_arrays_are_converted_as_pil_does() -> None:
    colour = noise(64, 64, 3)
    grey = np.asarray(Image.fromarray(colour).convert("L"))
    np.testing.assert_array_equal(pixels.with_channels(colour, 1)[..., 0], grey)
    np.testing.assert_allclose(
        pixels.with_channels(colour.astype("float32"), 1)[..., 0], grey, atol=0.51
    )
    rgb = np.asarray(Image.fromarray(grey).convert("RGB"))
    for given in (grey, grey[..., np.newaxis]):
        np.testing.assert_array_equal(pixels.with_channels(given, 3), rgb)
        np.testing.assert_array_equal(CHOSEN(given), CHOSEN(rgb))


def test_a_network_converts_to_its_channels() -> None:
    """One mean for all channels does not say how many there are; the network does."""
    scaling = mode("tf", image_size=32)
    assert scaling.channels is None
    assert scaling(noise(40, 40, 1)).shape == (32, 32, 1)
    bound = scaling.for_channels(3)
    assert bound(noise(40, 40, 1)).shape == bound(noise(40, 40)).shape == (32, 32, 3)
    assert scaling.for_channels(1)(noise(2, 40, 40, 3)).shape == (2, 32, 32, 1)
    assert bound == scaling
    assert dataclasses.asdict(bound) == dataclasses.asdict(scaling)


@pytest.mark.parametrize("shape", [(40, 40, 2), (40, 40, 4), (2, 40, 40, 4)])
def test_other_channels_are_refused(shape) -> None:
    message = refused(lambda: CHOSEN(noise(*shape)))
    assert f"takes 3 channels, the images have {shape[-1]}" in message


def test_means_are_not_broadcast_over_channels() -> None:
    grey = noise(24, 32, 1)
    assert "3 channels, got (24, 32, 1)" in refused(lambda: CHOSEN.normalize(grey))
    mean_image = per_pixel(noise(24, 32, 3))
    assert "3 channels, got (24, 32, 1)" in refused(lambda: mean_image.normalize(grey))
    assert "has 3 channels, the network has 1" in refused(lambda: CHOSEN.for_channels(1))
    assert "[3, 4]" in refused(lambda: Preprocessing(mean=(1, 2, 3), std=(1, 2, 3, 4)))
    assert "(3, 3)" in refused(lambda: Preprocessing(mean=np.ones((3, 3))))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_files_are_read(kind: str, tmp_path) -> None:
    file, image = tmp_path / f"a.{kind.lower()}", Image.fromarray(noise(40, 56, 3) // 9 + 90)
    image.save(file, kind, **({"lossless": True} if kind == "WEBP" else {}))
    expected = np.asarray(Image.open(file).convert("RGB"))
    for given in (file, str(file)):
        np.testing.assert_array_equal(CHOSEN(given), CHOSEN(expected))
    both = CHOSEN([file, noise(31, 31, 3)])
    assert both.shape == (2, 24, 32, 3)


def test_files_that_are_none_are_refused(tmp_path) -> None:
    assert "no such file" in refused(lambda: CHOSEN(tmp_path / "absent.png"))
    (tmp_path / "text.png").write_text("no image")
    message = refused(lambda: CHOSEN(tmp_path / "text.png"))
    assert "text.png cannot be decoded" in message
    assert "it is not a JPEG, PNG, WebP, BMP or GIF" in message
    Image.fromarray(noise(40, 56, 3)).save(tmp_path / "whole.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "whole.png").read_bytes()[:900])
    assert "half.png cannot be decoded: " in refused(lambda: CHOSEN(tmp_path / "half.png"))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (b"bytes", "bytes"),
        (None, "NoneType"),
        ([[[1, 2, 3]]], "int: 1"),
        (np.array(["a.png"]), "dtype"),
        (np.zeros((2, 2, 3), bool), "bool"),
    ],
    ids=["bytes", "none", "numbers", "strings", "booleans"],
)
def test_what_is_no_image_is_refused(given, words: str) -> None:
    assert words in refused(lambda: CHOSEN(given), TypeError)


def test_lists_that_are_none_of_images_are_refused() -> None:
    assert "got none" in refused(lambda: CHOSEN([]))
    assert "single images" in refused(lambda: CHOSEN([noise(2, 9, 9, 3)]))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.linspace(0, 1, 48, dtype=np.float32).reshape(4, 4, 3), "floats of 0 to 1"),
        (np.linspace(-1, 1, 48).reshape(4, 4, 3), "floats of -1 to 1"),
        (np.full((4, 4, 3), 300, np.uint16), "300"),
        (np.full((4, 4, 3), -1, np.int32), "-1"),
        (Image.fromarray(np.full((4, 4), 300, np.uint16)), "mode 'I;16'"),
        (Image.fromarray(np.ones((4, 4), np.float32)), "mode 'F'"),
    ],
    ids=["0..1", "-1..1", "16 bits", "negative", "PIL's 16 bits", "PIL's floats"],
)
def test_levels_that_cannot_be_of_bytes_are_refused(given, words: str) -> None:
    message = refused(lambda: CHOSEN(given))
    assert words in message
    assert "0..255" in message or "0 to 255" in message


@pytest.mark.parametrize(
    "given",
    [
        np.zeros((4, 4, 3), np.float32),
        np.ones((4, 4, 3), np.uint8),
        noise(4, 4, 3).astype("float16"),
        noise(4, 4, 3).astype("int64"),
    ],
    ids=["black", "dark", "float16", "int64"],
)
def test_levels_that_can_be_are_taken(given) -> None:
    chosen = mode("none", image_size=4, crop=1.0)
    np.testing.assert_array_equal(chosen(given), given.astype("float32"))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_symbol_becomes_a_layer_that_is_saved(dtype: str, tmp_path) -> None:
    inputs = keras.Input((None, None, 3), dtype=dtype, name="pixels")
    model = resnet("resnet20", repeats=[1], input_tensor=CHOSEN(inputs))
    plain = resnet("resnet20", repeats=[1])
    plain.set_weights(model.get_weights())
    given = noise(2, 40, 50, 3)
    expected = plain(CHOSEN(given))
    np.testing.assert_allclose(model.predict(given.astype(dtype), verbose=0), expected, atol=1e-6)
    model.save(tmp_path / "a.keras")
    again = keras.models.load_model(tmp_path / "a.keras")
    np.testing.assert_allclose(again(given.astype(dtype)), expected, atol=1e-6)


def test_a_symbol_of_other_channels_is_converted_or_refused() -> None:
    assert CHOSEN(keras.Input((None, None, 1))).shape == (None, 24, 32, 3)
    grey = noise(1, 40, 50, 1)
    model = keras.Sequential([keras.Input((None, None, 1)), images_layer()])
    np.testing.assert_allclose(model(grey), CHOSEN(grey), atol=1e-6)
    assert "the images have 2" in refused(lambda: CHOSEN(keras.Input((None, None, 2))))
    for shape in ((None, None), (None, None, None)):
        message = refused(lambda shape=shape: CHOSEN(keras.Input(shape)))
        assert "[batch, height, width, channels]" in message


def images_layer() -> keras.layers.Layer:
    return keras.Model(inputs := keras.Input((None, None, 1)), CHOSEN(inputs)).layers[-1]


def test_mixed_precision_leaves_levels_alone() -> None:
    keras.config.set_dtype_policy("mixed_float16")
    try:
        inputs = keras.Input((None, None, 3))
        model = keras.Model(inputs, CHOSEN(inputs))
    finally:
        keras.config.set_dtype_policy("float32")
    given = noise(1, 40, 50, 3).astype("float32") + np.float32(0.37)
    found = model(given)
    assert found.dtype == "float32"
    np.testing.assert_allclose(found, CHOSEN(given), atol=1e-6)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_xla_compiles_it(interpolation: str) -> None:
    chosen = dataclasses.replace(CHOSEN, interpolation=interpolation)
    given = noise(2, 40, 50, 3)
    compiled = tf.function(chosen, jit_compile=True)
    np.testing.assert_allclose(compiled(given), chosen(given), atol=1e-4)
    inputs = keras.Input((None, None, 3), dtype="uint8")
    model = keras.Model(inputs, chosen(inputs))
    model.compile(jit_compile=True)
    np.testing.assert_allclose(model.predict(given, verbose=0), chosen(given), atol=1e-4)


ELSEWHERE = """
import sys
import keras, numpy as np
from keras_resnet.preprocessing import mode
given, chosen = np.load(sys.argv[1] + "/given.npy"), mode("torch", image_size=(24, 32))
inputs = keras.Input((None, None, 3), dtype="uint8")
calls = {"eager": chosen, "symbol": keras.Model(inputs, chosen(inputs))}
if keras.backend.backend() == "jax":
    import jax
    calls["jit"] = jax.jit(chosen)
for name, call in calls.items():
    np.save(f"{sys.argv[1]}/{name}.npy", keras.ops.convert_to_numpy(call(given)))
assert chosen([given[0], given[1, :20]]).shape == (2, 24, 32, 3)
assert "tensorflow" not in sys.modules
"""


@pytest.mark.parametrize(("backend", "calls"), [("jax", 3), ("torch", 2)])
def test_other_backends_see_the_same(backend: str, calls: int, tmp_path) -> None:
    given = noise(2, 40, 50, 3)
    np.save(tmp_path / "given.npy", given)
    done = helpers.python("-c", ELSEWHERE, str(tmp_path), KERAS_BACKEND=backend)
    assert done.returncode == 0, done.stderr
    found = [np.load(file) for file in tmp_path.glob("*.npy") if file.stem != "given"]
    assert len(found) == calls
    for one in found:
        np.testing.assert_allclose(one, CHOSEN(given), atol=1e-4)
