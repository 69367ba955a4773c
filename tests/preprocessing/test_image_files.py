"""The structure of image files is told by lengths; what would take long is refused."""

import io
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_resnet.preprocessing import decoding
from keras_resnet.preprocessing.decoding import jpeg
from tests.support import hostile_images, image_files
from tests.support.decoded import TEXT, off, photo, smooth, total
from tests.support.hostile_images import encode


@tf.function(input_signature=TEXT)
def walk(data: tf.Tensor) -> tuple[tf.Tensor, ...]:
    return jpeg._walk(data)


@pytest.mark.parametrize("seed", range(60))
def test_a_walk_finds_what_was_put_there(seed):
    made = image_files.skeleton(np.random.default_rng(seed))
    segments, scans, adobe = walk(tf.constant(made.data))
    assert (int(segments), int(scans), bool(adobe)) == (made.segments, made.scans, made.adobe)


@pytest.mark.parametrize("cut", [2, 3, 5, 40, 70, 1000])
def test_a_walk_ends_where_a_file_ends(cut):
    """Wherever that is; it sees no more scans than there are."""
    made = image_files.skeleton(np.random.default_rng(1))
    for size in (cut, len(made.data) - 500 - cut):
        segments, scans, _ = walk(tf.constant(made.data[:size]))
        assert int(segments) <= made.segments
        assert int(scans) <= made.scans


def inserted(data: bytes, *segments: bytes) -> bytes:
    return data[:2] + b"".join(segments) + data[2:]


def thumbnail() -> bytes:
    return b"Exif\0\0MM\0*\0\0\0\x08" + bytes(6) + photo()


LURES = image_files.lures(np.random.default_rng(2), 60_000)
LEGAL = {
    "trailer": photo() + LURES,
    "video": photo() + np.random.default_rng(3).bytes(3_000_000),
    "second image": photo() + photo(progressive=True) * 40,
    "thumbnail": inserted(photo(), image_files.segment(0xE1, thumbnail())),
    "comment": inserted(photo(), image_files.segment(0xFE, LURES)),
    "profile": inserted(photo(), *[image_files.segment(0xE2, b"ICC_PROFILE\0" + LURES)] * 20),
    "empty segments": inserted(photo(), *[b"\xff\xe5\0\2"] * 1000),
    "fill": photo().replace(b"\xff\xda", b"\xff" * 5000 + b"\xff\xda"),
    "progressive": inserted(photo(progressive=True), image_files.segment(0xE1, LURES)),
    "restarts": photo(restart_marker_blocks=1),
    "png trailer": encode(smooth(), "PNG") + b"\0\0\0\1zTXt\0\0\0\0\0" * 99,
}
PIECES = encode(smooth(), "PNG")
LEGAL["png chunk"] = PIECES[:33] + image_files.chunk(b"prVt", b"zTXtiTXt" * 999) + PIECES[33:]


@pytest.mark.parametrize("name", LEGAL)
def test_bytes_in_metadata_and_trailers_are_no_structure(name):
    data = LEGAL[name]
    width, height = Image.open(io.BytesIO(data)).size
    assert int(total(tf.constant(data))) == width * height
    assert off(data, 3) == 0


def scans(count: int, image: Image.Image | None = None) -> bytes:
    """A progressive JPEG whose last scan is repeated."""
    data = encode(image or smooth(), "JPEG", progressive=True)
    own = data.count(b"\xff\xda")
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * (count - own) + data[-2:]


BLACK = Image.new("L", (5000, 5000))
MANY = "a JPEG has more than 4096 segments"
REFUSED = {
    "scans": (scans(101), "a JPEG of 63x41 pixels has more than 100 scans"),
    "scans behind 1 MB": (
        inserted(scans(101), *[image_files.segment(0xE1, bytes(65_000))] * 20),
        "more than 100 scans",
    ),
    "scans behind lengths of 0": (inserted(scans(101), *[b"\xff\xe1\0\0"] * 99), "100 scans"),
    "scans behind lengths of 1": (inserted(scans(101), *[b"\xff\xe1\0\1"] * 99), "100 scans"),
    "scans without an end": (scans(101)[:-2], "more than 100 scans"),
    "scans of a large image": (scans(27, BLACK), "5000x5000 pixels has more than 26 scans"),
    "tiny segments": (inserted(scans(101), b"\xff\xe1\0\2" * 1_000_000), MANY),
    "segments of no length": (inserted(scans(101), b"\xff\xe1\0\0" * 1_000_000), MANY),
    "a length beyond the end": (b"\xff\xd8\xff\xe1\xff\xff", "JPEG"),
    "no end": (photo()[:-2] + bytes(3_000_000), "JPEG"),
    "texts": (
        hostile_images.png(
            8,
            8,
            *[image_files.chunk(b"zTXt", b"a\0\0")] * 9,
            *[image_files.chunk(b"iTXt", b"a\0\0\0\0\0")] * 8,
        ),
        "a PNG has more than 16 compressed texts",
    ),
    "chunks": (
        hostile_images.png(8, 8, *[image_files.chunk(b"abCd", b"")] * 2**15),
        "32768 chunks",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_take_long_is_refused(name):
    data, reason = REFUSED[name]
    with pytest.raises(tf.errors.InvalidArgumentError, match=reason):
        decoding.decode(data, 3) if int(total(tf.constant(data))) else None


@pytest.mark.parametrize(
    "data",
    [scans(100), scans(26, BLACK), encode(BLACK, "JPEG")],
    ids=["100 scans", "26 scans", "one scan"],
)
def test_what_is_just_allowed(data):
    total(tf.constant(data))


def test_inflated_texts_are_what_the_bound_is_for():
    """Sixteen texts are read, whatever they hold."""
    text = image_files.chunk(b"zTXt", b"key\0\0" + zlib.compress(b"hello"))
    data = hostile_images.png(8, 8, *[text] * 16)
    assert int(total(tf.constant(data))) == 64
    assert off(data, 3) == 0
