"""The pixels of image files are those of Pillow, or there is a reason why not."""

import struct
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.support import image_files
from tests.support.decoded import MODES, graph, off, photo, pillow, smooth, total
from tests.support.hostile_images import encode

NOISE = np.random.default_rng(0).integers(0, 256, (13, 17, 4)).astype(np.uint8)
RGBA, RGB = Image.fromarray(NOISE), Image.fromarray(NOISE[..., :3])
GREY = Image.fromarray(NOISE[..., 0])


def test_photographs_are_those_of_pillow(data_dir: Path):
    files = sorted((data_dir / "imagenet_mini" / "images").iterdir())
    assert len(files) == 250
    assert {off(file.read_bytes(), 3) for file in files} == {0}
    assert {off(file.read_bytes(), 1) for file in files[:20]} == {0}


JPEGS = {
    "colour": photo(),
    "progressive": photo(progressive=True),
    "not subsampled": photo(subsampling=0),
    "4:2:2": photo(subsampling=1),
    "grey": encode(smooth().convert("L"), "JPEG"),
    "RGB inside": encode(smooth(), "JPEG", keep_rgb=True),
    "optimized": photo(optimize=True),
}


@pytest.mark.parametrize("channels", MODES)
@pytest.mark.parametrize("name", JPEGS)
def test_jpegs_are_those_of_pillow(name, channels):
    assert off(JPEGS[name], channels) == 0


def inks() -> dict[str, bytes]:
    """CMYK as Adobe writes it, told to be YCCK, and without the marker that says so."""
    random = np.random.default_rng(4)
    colours = Image.fromarray(random.integers(0, 256, (4, 4, 4)).astype(np.uint8), "CMYK")
    cmyk = encode(colours.resize((41, 63)), "JPEG")
    place = cmyk.index(b"Adobe")
    ycck = bytearray(cmyk)
    ycck[place + 11] = 2
    return {"CMYK": cmyk, "YCCK": bytes(ycck), "no marker": cmyk[: place - 4] + cmyk[place + 12 :]}


@pytest.mark.parametrize("channels", MODES)
@pytest.mark.parametrize("name", inks())
def test_inks_become_colours(name, channels):
    data = inks()[name]
    assert np.ptp(pillow(data, 3)) > 200
    assert off(data, channels) <= 1


def pngs() -> dict[str, bytes]:
    few = RGB.quantize(8)
    alphas = bytes([0, 15, 255, 3, 1, 128])
    made = {
        "grey": (GREY, {}),
        "grey, one transparent": (GREY, {"transparency": int(NOISE[3, 3, 0])}),
        "grey alpha": (Image.merge("LA", [GREY, RGBA.getchannel("A")]), {}),
        "colour": (RGB, {}),
        "colour, one transparent": (RGB, {"transparency": tuple(NOISE[3, 3, :3].tolist())}),
        "alpha": (RGBA, {}),
        "palette": (RGB.convert("P"), {}),
        "palette of 4 bits": (few, {}),
        "palette with alphas": (few, {"transparency": alphas}),
        "palette, one transparent": (few, {"transparency": 2}),
        "palette of 1 bit": (RGB.quantize(2), {}),
        "one bit": (GREY.convert("1"), {}),
        "one bit, white transparent": (GREY.convert("1"), {"transparency": 1}),
    }
    files = {name: encode(image, "PNG", **options) for name, (image, options) in made.items()}
    for depth in (2, 4):
        files[f"{depth} bits"] = image_files.png(NOISE[:, : 2 * depth, 0], 16, depth, 0)
    for colour, name in ((2, "colour"), (6, "alpha")):
        size = 16 if colour == 2 else 16 // 8 * 8
        row = np.random.default_rng(5).integers(0, 256, (9, size * 2 * (3 + colour // 6)))
        files[f"{name} of 16 bits"] = image_files.png(row.astype(np.uint8), size, 16, colour)
    return files


@pytest.mark.parametrize("channels", MODES)
@pytest.mark.parametrize("name", pngs())
def test_pngs_are_those_of_pillow(name, channels):
    assert off(pngs()[name], channels) == 0


@pytest.mark.parametrize("channels", MODES)
def test_of_sixteen_bits_the_upper_eight_are_kept(channels):
    """Greys, which Pillow clips instead."""
    pixels = np.random.default_rng(0).integers(0, 2**16, (5, 7)).astype(np.uint16)
    found = graph(channels)(tf.constant(encode(Image.fromarray(pixels), "PNG"))).numpy()
    expected = np.repeat((pixels >> 8)[..., np.newaxis], channels, -1)
    np.testing.assert_array_equal(found, np.where(np.arange(channels) == 3, 255, expected))


@pytest.mark.parametrize("channels", MODES)
@pytest.mark.parametrize("image", [RGB, RGBA, GREY], ids=["colour", "alpha", "grey"])
@pytest.mark.parametrize("lossless", [True, False])
def test_webps_are_those_of_pillow(image, lossless, channels):
    assert off(encode(image, "WEBP", lossless=lossless), channels) == 0


PALETTE = np.random.default_rng(6).integers(0, 256, (256, 3))  # blue, green, red


def bmps() -> dict[str, bytes]:
    files = {mode: encode(RGB.convert(mode), "BMP") for mode in ("1", "L", "P", "RGB")}
    files["RGBA"] = encode(RGBA, "BMP")
    for bits in (1, 4, 8):
        indices = NOISE[..., 0] >> (8 - bits)
        files[f"{bits} bits"] = image_files.bmp(indices, bits, PALETTE[: 2**bits])
        files[f"{bits} bits up"] = image_files.bmp(indices, bits, PALETTE[: 2**bits], height=13)
    few = np.minimum(NOISE[..., 0], 99)
    files["100 colours"] = image_files.bmp(few, 8, PALETTE[:100])
    files["256 colours by default"] = image_files.bmp(NOISE[..., 0], 8, PALETTE, used=0)
    files["long header"] = image_files.bmp(few, 8, PALETTE[:100], header=124)
    files["bit fields"] = image_files.bmp(NOISE, 32, PALETTE[:0], header=56, compression=3)
    files["24 bits"] = image_files.bmp(NOISE[..., :3], 24, PALETTE[:0])
    return files


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", bmps())
def test_bmps_are_those_of_pillow(name, channels):
    data = bmps()[name]
    assert np.ptp(pillow(data, 3)) > 90
    assert off(data, channels) == 0


ROWS = NOISE[..., 0]
OS2 = struct.pack("<2sIIIIHHHH", b"BM", 0, 0, 26, 12, 17, 13, 1, 8) + bytes(1000)
BAD = {
    "16 bits": (
        image_files.bmp(ROWS, 8, PALETTE, depth=16),
        "16 bits per pixel; supported are 1, 4",
    ),
    "run lengths": (image_files.bmp(ROWS, 8, PALETTE, compression=1), "compression 1; only unco"),
    "OS/2": (
        OS2,
        "a header of 12 bytes; supported are 40, 52",
    ),
    "short": (image_files.bmp(ROWS, 8, PALETTE)[:-9], "a BMP of 17x13 pixels is truncated"),
    "huge": (image_files.bmp(ROWS, 8, PALETTE, height=2**31 - 1), "17x2147483647 pixels is trunc"),
    "empty": (image_files.bmp(ROWS, 8, PALETTE, height=0), "17x0 pixels is truncated"),
    "header": (b"BM", "header of 0 bytes"),
    "text": (b"hello", "the file is not a JPEG, PNG, WebP, BMP or GIF"),
    "nothing": (b"", "the file is not a JPEG, PNG, WebP, BMP or GIF"),
}


@pytest.mark.parametrize("name", BAD)
def test_why_a_file_cannot_be_read(name):
    data, reason = BAD[name]
    with pytest.raises(tf.errors.InvalidArgumentError, match=reason):
        graph(3)(tf.constant(data))


@pytest.mark.parametrize("kind", ["BMP", "GIF"])
def test_what_may_be_transparent_is_not_read_as_if_it_were_not(kind):
    with pytest.raises(tf.errors.InvalidArgumentError, match="not a JPEG, PNG or WebP"):
        graph(4)(tf.constant(encode(RGB, kind)))


@pytest.mark.parametrize("options", [{}, {"interlace": 1}, {"save_all": True}])
def test_gifs_are_the_first_frame(options):
    first = RGB.quantize(32)
    more = {"append_images": [first.rotate(180)]} if options.get("save_all") else {}
    assert off(encode(first, "GIF", **options, **more), 3) == 0


def test_many_mutations_are_decoded_as_if_alone_or_refused():
    """Nothing else than InvalidArgumentError comes of them."""
    random = np.random.default_rng(7)
    sources = [*bmps().values(), *pngs().values(), *JPEGS.values(), *inks().values()]
    refused = 0
    for _ in range(400):
        data = np.frombuffer(sources[random.integers(len(sources))], np.uint8).copy()
        places = random.integers(0, min(len(data), 200), random.integers(1, 5))
        data[places] = random.integers(0, 256, len(places))
        try:
            total(tf.constant(data.tobytes())) if random.integers(2) else None
            assert graph(3)(tf.constant(data.tobytes())).shape[-1] == 3
        except tf.errors.InvalidArgumentError:
            refused += 1
    assert 40 < refused < 390
