"""The signature that takes the bytes of images: any that people send, within bounds."""

import io
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_resnet.preprocessing import decoding
from tests.support import exporting, hostile_images

Predict = tf.types.experimental.ConcreteFunction


@pytest.fixture(scope="module")
def loaded(exported):
    return tf.saved_model.load(str(exported[0]))


@pytest.fixture(scope="module")
def decode():
    return {
        channels: tf.function(
            lambda data, channels=channels: decoding.decode(data, channels),
            input_signature=[tf.TensorSpec([], tf.string)],
        )
        for channels in (1, 3, 4)
    }


def encode(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def photo(height: int = 37, width: int = 53, mode: str = "RGB") -> Image.Image:
    """Smooth, so that JPEG keeps it, with noise."""
    random = np.random.default_rng(0)
    waves = 120 + 80 * np.sin(np.linspace(0, 6, width) + np.linspace(0, 4, height)[:, None])
    pixels = waves[..., None] + random.uniform(-15, 15, (height, width, 3))
    if mode == "transparent":
        return Image.fromarray(np.dstack([pixels, waves]).astype(np.uint8))
    return Image.fromarray(pixels.astype(np.uint8)).convert(mode)


def chunk_of_png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big")


def test_the_best_classes_are_those_of_the_network(exported, loaded):
    _, model, manifest = exported
    images = [photo(32, 32), photo(90, 70), photo(64, 200)]
    data = [encode(image, "PNG") for image in images]
    found = loaded.signatures["predict_bytes"](image_bytes=tf.constant(data))
    for i, image in enumerate(images):
        pixels = np.asarray(manifest.preprocessing.resize(np.asarray(image)))
        _, probabilities = exporting.by_hand(model, pixels[np.newaxis])
        best = np.argsort(-probabilities[0])[:5]
        np.testing.assert_array_equal(found["classes"][i], best)
        np.testing.assert_allclose(found["probabilities"][i], probabilities[0, best], rtol=1e-3)
        assert [label.decode() for label in found["labels"][i].numpy()] == [
            exporting.LABELS[j] for j in best
        ]


FILES = {
    "png": ("PNG", {}),
    "palette": ("PNG", {"mode": "P"}),
    "grey": ("PNG", {"mode": "L"}),
    "grey alpha": ("PNG", {"mode": "LA"}),
    "alpha": ("PNG", {"mode": "RGBA"}),
    "bits": ("PNG", {"mode": "1"}),
    "interlaced": ("PNG", {"interlace": 1}),
    "webp lossless": ("WEBP", {"lossless": True}),
    "webp lossless alpha": ("WEBP", {"lossless": True, "mode": "RGBA"}),
    "webp transparent": ("WEBP", {"lossless": True, "mode": "transparent"}),
    "webp lossy transparent": ("WEBP", {"mode": "transparent"}),
    "webp exif": ("WEBP", {"lossless": True, "exif": b"Exif\0\0aaaa"}),
    "webp": ("WEBP", {}),
    "jpeg": ("JPEG", {}),
    "jpeg grey": ("JPEG", {"mode": "L"}),
    "jpeg progressive": ("JPEG", {"progressive": True}),
}


@pytest.mark.parametrize("name", FILES)
def test_images_are_decoded_as_pillow_does(decode, name):
    kind, options = FILES[name]
    data = encode(photo(mode=options.get("mode", "RGB")), kind, **options)
    found = decode[3](tf.constant(data)).numpy()
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.int16)  # drops alpha
    assert found.dtype == np.uint8
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() == 0


def test_a_photograph_with_a_video_behind_it(loaded):
    data = encode(photo(), "JPEG")
    whole, motion = (
        loaded.signatures["predict_bytes"](image_bytes=tf.constant([sent]))["probabilities"]
        for sent in (data, data + np.random.default_rng(1).bytes(7_000_000))
    )
    np.testing.assert_array_equal(whole, motion)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_other_numbers_of_channels(decode, kind, mode):
    channels = len(mode)
    data = encode(photo(mode="transparent"), kind, **({"lossless": True} if kind == "WEBP" else {}))
    found = decode[channels](tf.constant(data)).numpy()
    opened = Image.open(io.BytesIO(data)).convert("RGB" if channels == 1 else "RGBA")
    expected = np.asarray(opened.convert(mode), np.int16).reshape(37, 53, channels)
    assert np.abs(found - expected).max() <= (2 if channels == 1 else 0)
    opaque = decode[4](tf.constant(encode(photo(), kind))).numpy()
    assert opaque.shape == (37, 53, 4)
    assert opaque[..., 3].min() == 255


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (16383, 2)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_extreme_shapes(loaded, size, kind):
    data = encode(Image.new("RGB", size, (200, 10, 30)), kind)
    found = loaded.signatures["predict_bytes"](image_bytes=tf.constant([data]))
    assert np.isfinite(found["probabilities"]).all()


WEBP_CANVAS = b"RIFF\xff\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0"
REFUSED = {
    "nothing": (b"", "not a JPEG, PNG or WebP"),
    "text": (b"hello, world", "not a JPEG, PNG or WebP"),
    "gif": (encode(photo(), "GIF"), "not a JPEG, PNG or WebP"),
    "bmp": (encode(photo(), "BMP"), "not a JPEG, PNG or WebP"),
    "tiff": (encode(photo(), "TIFF"), "not a JPEG, PNG or WebP"),
    "start of a jpeg": (b"\xff\xd8\xff", "JPEG"),
    "half a jpeg": (encode(photo(), "JPEG")[:500], "JPEG"),
    "half a png": (encode(photo(), "PNG")[:500], "PNG"),
    "half a webp": (encode(photo(), "WEBP")[:300], "(?i)webp"),
    "animation": (
        encode(photo(), "WEBP", save_all=True, append_images=[photo().rotate(90)]),
        "animated; one frame",
    ),
    "large jpeg": (encode(Image.new("L", (6000, 6000)), "JPEG"), "6000x6000 pixels; at most"),
    "large png": (chunk_of_png(30_000, 40_000), "30000x40000 pixels; at most 33554432"),
    "negative png": (chunk_of_png(2**32 - 1, 2**32 - 1), "4294967295x4294967295 pixels"),
    "empty png": (chunk_of_png(0, 10), "0x10 pixels"),
    "large webp": (encode(Image.new("L", (16383, 2100)), "WEBP"), "16383x2100 pixels"),
    "large lossless webp": (
        encode(Image.new("RGB", (16383, 2100)), "WEBP", lossless=True),
        "16383x2100 pixels",
    ),
    "large canvas": (WEBP_CANVAS + b"\xff\xff\xff\xff\xff\xff" + bytes(20), "16777216x16777216"),
    "scans": (
        hostile_images.jpeg_of_many_scans(np.random.default_rng(0)),
        "JPEG of 16x16 pixels has more than 100 scans",
    ),
    "texts": (
        hostile_images.png(8, 8, *[hostile_images.chunk(b"zTXt", b"")] * 17),
        "PNG has more than 16 compressed texts",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_and_why(loaded, name):
    data, reason = REFUSED[name]
    good = encode(photo(), "PNG")
    with pytest.raises(tf.errors.InvalidArgumentError, match=reason):
        loaded.signatures["predict_bytes"](image_bytes=tf.constant([good, data]))


def test_all_images_of_a_request_are_bounded_together(loaded):
    data = chunk_of_png(5792, 5792)
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"{17 * 5792**2} pixels; at most"):
        loaded.signatures["predict_bytes"](image_bytes=tf.constant([data] * 17))


@pytest.mark.parametrize("count", [0, 129])
def test_batches_are_bounded(loaded, count):
    data = tf.constant([encode(photo(), "PNG")] * count, tf.string, shape=[count])
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"1 to 128 images.* has {count}"):
        loaded.signatures["predict_bytes"](image_bytes=data)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_pixels_are_numbers(loaded, bad):
    images = np.zeros((2, 32, 32, 3), np.float32)
    images[1, 3, 5, 2] = bad
    for name in ("serving_default", "features", "endpoints"):
        with pytest.raises(tf.errors.InvalidArgumentError, match="NaN or infinity"):
            loaded.signatures[name](images=tf.constant(images))


def test_real_photographs(loaded, exported, data_dir: Path):
    """Of ImageNet, as Pillow decodes them, through the same preprocessing."""
    _, model, manifest = exported
    files = sorted((data_dir / "imagenet_mini" / "images").iterdir())[:16]
    found = loaded.signatures["predict_bytes"](
        image_bytes=tf.constant([file.read_bytes() for file in files])
    )
    for i, file in enumerate(files):
        image = np.asarray(Image.open(file).convert("RGB"))
        pixels = np.asarray(manifest.preprocessing.resize(image))
        _, probabilities = exporting.by_hand(model, pixels[np.newaxis])
        best = np.sort(probabilities[0])[::-1][:5]
        np.testing.assert_allclose(found["probabilities"][i], best, atol=1e-4)
