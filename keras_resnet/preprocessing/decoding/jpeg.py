"""JPEG files: limits on their segments, and their pixels.

A file is a sequence of segments: 0xff, a code, and for most codes a length and that many bytes. The
data of a scan follow its segment; in them 0xff is followed by 0x00, or by the code of a restart.
Metadata and data that phones append can contain whole JPEGs, and markers by chance. Only lengths
tell them from segments of the image.
"""

from functools import partial

import tensorflow as tf

from keras_resnet.preprocessing.decoding.reading import integer, length, piece, require
from keras_resnet.preprocessing.views import Finish, Look

__all__ = ["SIGNATURE", "pixels", "size", "window"]

SIGNATURE = b"\xff\xd8\xff"
# Each scan of a progressive JPEG costs as much as a whole image; encoders write about ten.
MAX_SCANS = 100
MAX_SCANNED = 20 * 2**25  # pixels in all scans of a file with several
MAX_SEGMENTS = 4096  # each costs time; a segment has up to 65 kB
NEAR, FAR = 64, 2**18  # bytes to search for a marker: after a segment, and further on
SMALL = 2**20  # bytes of a file in which counting bytes is faster than the walk
START_OF_SCAN, END_OF_IMAGE, APP14 = 0xDA, 0xD9, 0xEE
EXACT = "INTEGER_ACCURATE"
RATIOS = (1, 2, 4, 8)  # by which the transform can reduce an image; it then costs less
# Marks inverted CMYK (transform 0). Decoders disagree about files without it.
ADOBE = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0"


def size(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns height and width, int64.

    Raises:
        InvalidArgumentError: at run time, for a broken header, and for too many scans or segments.
    """
    height, width, _ = tf.unstack(tf.io.extract_jpeg_shape(data, tf.int64), num=3)
    most = tf.clip_by_value(MAX_SCANNED // tf.maximum(height * width, 1), 1, MAX_SCANS)
    # There are at most as many scans as pairs of these bytes, which are faster to count.
    harmless = (length(data) <= SMALL) & (_pairs(piece(data, 0, SMALL)) <= most)
    zero = tf.constant(0, tf.int64)
    segments, scans = tf.cond(harmless, lambda: (zero, zero), lambda: _walk(data)[:2])
    message = "a JPEG of {}x{} pixels has more than {} scans"
    checks = [
        require(scans <= most, message, width, height, most),
        require(segments <= MAX_SEGMENTS, f"a JPEG has more than {MAX_SEGMENTS} segments"),
    ]
    with tf.control_dependencies(checks):
        return tf.identity(height), tf.identity(width)


def pixels(data: tf.Tensor) -> tf.Tensor:
    """Decodes to RGB with the exact transform; TensorFlow's default is off by up to 25 of 255."""
    components = tf.io.extract_jpeg_shape(data)[2]
    data = _readable(data, components)
    return tf.io.decode_jpeg(data, channels=3, dct_method=EXACT)


def window(data: tf.Tensor, look: Look) -> tuple[tf.Tensor, Finish]:
    """Decodes the window of a view to RGB, at a reduced resolution if that is enough.

    Pixels at the edge of a window can differ from those of the whole image, where colours are
    stored at half the resolution.

    Returns:
        uint8 [height, width, 3], and how the view finishes them.
    """
    height, width, components = tf.unstack(tf.io.extract_jpeg_shape(data), num=3)
    view = look(tf.stack([height, width]))
    if view.window is None:
        return pixels(data), view.finish
    data = _readable(data, components)

    def reduced(ratio: int) -> tf.Tensor:
        # A reduced image is rounded up; the window is within it.
        part = tf.convert_to_tensor(view.window) // ratio
        return tf.io.decode_and_crop_jpeg(data, part, channels=3, ratio=ratio, dct_method=EXACT)

    if not view.least:
        return reduced(1), view.finish
    spare = tf.reduce_min(view.window[2:]) // view.least
    which = tf.reduce_sum(tf.cast(spare >= RATIOS[1:], tf.int32))
    branches = [partial(reduced, ratio) for ratio in RATIOS]
    return tf.switch_case(which, branches), view.finish


def _readable(data: tf.Tensor, components: tf.Tensor) -> tf.Tensor:
    return tf.cond(components == 4, lambda: _with_adobe_marker(data), lambda: data)


def _with_adobe_marker(data: tf.Tensor) -> tf.Tensor:
    """Adds the marker to a CMYK file without one, which Pillow also reads as inverted."""
    _, _, adobe = _walk(data)
    marked = tf.strings.join([piece(data, 0, 2), ADOBE, piece(data, 2, length(data))])
    return tf.where(adobe, data, marked)


def _pairs(data: tf.Tensor) -> tf.Tensor:
    """Counts pairs of bytes that can begin a scan: markers, and the same bytes elsewhere."""
    found = tf.io.decode_raw(data, tf.uint8)
    return tf.math.count_nonzero((found[:-1] == 0xFF) & (found[1:] == START_OF_SCAN))


def _walk(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Counts segments and scans up to the end of the image, or until there are too many.

    It stops at every marker at which libjpeg may stop, so that no scan is missed.

    Returns:
        segments, scans, and whether a marker of Adobe comes before the first scan.
    """
    end = length(data)

    def unfinished(
        place: tf.Tensor, _far: tf.Tensor, segments: tf.Tensor, scans: tf.Tensor, _adobe: tf.Tensor
    ) -> tf.Tensor:
        return (place + 1 < end) & (segments <= MAX_SEGMENTS) & (scans <= MAX_SCANS)

    def step(
        place: tf.Tensor, far: tf.Tensor, segments: tf.Tensor, scans: tf.Tensor, adobe: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        found, offset, code = _marker(piece(data, place, tf.where(far, FAR, NEAR)))
        marker = place + offset
        after = marker + 2 + tf.maximum(integer(data, marker + 2, 2, "big"), 2)
        after = tf.where(code == END_OF_IMAGE, end, after)
        is_adobe = (code == APP14) & (piece(data, marker + 4, 5) == b"Adobe") & (scans == 0)
        return (
            tf.where(found, after, marker),
            ~found,
            segments + tf.cast(found, tf.int64),
            scans + tf.cast(found & (code == START_OF_SCAN), tf.int64),
            adobe | (found & is_adobe),
        )

    zero, no = tf.constant(0, tf.int64), tf.constant(False)
    _, _, segments, scans, adobe = tf.while_loop(
        unfinished, step, (zero + 2, no, zero, zero, no), parallel_iterations=1
    )
    return segments, scans, adobe


def _marker(window: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Finds the first marker that a length follows, or the end of the image.

    Returns:
        whether there is one, its place in the window, and its code; without one the place of the
        last byte, which may begin a marker.
    """
    window = tf.io.decode_raw(window, tf.uint8)
    codes = window[1:]
    # Not 0xff (the marker comes later), restarts, starts of images, and reserved codes.
    marks = (codes >= 0xC0) & (codes < 0xFF) & ((codes < 0xD0) | (codes > 0xD8))
    marks &= window[:-1] == 0xFF
    offset = tf.argmax(tf.cast(marks, tf.uint8))
    found = marks[offset]
    last = tf.size(codes, tf.int64)
    return found, tf.where(found, offset, last), tf.cast(codes[offset], tf.int32)
