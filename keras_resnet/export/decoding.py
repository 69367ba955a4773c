"""From the bytes of anybody's image to pixels, inside a graph: what may cost much is refused first.

JPEG, PNG and WebP say in their first bytes how large they are. An image of a few hundred bytes
can ask for gigabytes, or for hours; decoders only fail once they have tried.
"""

import tensorflow as tf

MAX_PIXELS = 2**25  # of one image: 100 MB
MAX_SCANS = 100  # of a progressive JPEG, each as much work as a whole image; encoders write ten
CHANNELS = (1, 3, 4)  # that images in files can have
HEAD = 32


def decode(data: tf.Tensor, channels: int) -> tf.Tensor:
    """Decodes a scalar string to uint8 [height, width, channels].

    Raises:
        InvalidArgumentError: when run, for what is no JPEG, PNG or WebP of one frame, is broken, or
            has more than `MAX_PIXELS` pixels.
    """
    head = tf.strings.join([tf.strings.substr(data, 0, HEAD), b"\0" * HEAD])
    head = tf.cast(tf.io.decode_raw(head, tf.uint8)[:HEAD], tf.int64)
    head.set_shape([HEAD])
    is_jpeg = _starts(head, b"\xff\xd8\xff")
    is_png = _starts(head, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    is_webp = _starts(head, b"RIFF") & _starts(head[8:], b"WEBP")
    _require(is_jpeg | is_png | is_webp, "image_bytes hold no JPEG, PNG or WebP")
    size = tf.case(
        [(is_jpeg, lambda: _jpeg_size(data)), (is_png, lambda: _png_size(head))],
        default=lambda: _webp_size(head),
    )
    height, width = tf.unstack(size, num=2)
    # Divided, as the product of two 32 bit sizes can be more than 63 bits.
    allowed = (height > 0) & (width > 0) & (height <= MAX_PIXELS // tf.maximum(width, 1))
    fits = _require(
        allowed, f"an image has {{}}x{{}} pixels; at most {MAX_PIXELS} are allowed", width, height
    )
    with tf.control_dependencies([fits]):  # or both would start at once
        image = tf.io.decode_image(data, channels=channels, expand_animations=False)
    image.set_shape([None, None, channels])
    return image


def _require(condition: tf.Tensor, message: str, *values: tf.Tensor) -> tf.Operation:
    return tf.debugging.Assert(condition, [tf.strings.format(message, values)])


def _starts(head: tf.Tensor, text: bytes) -> tf.Tensor:
    return tf.reduce_all(head[: len(text)] == tf.constant(list(text), tf.int64))


def _number(digits: tf.Tensor) -> tf.Tensor:
    """Reads bytes, the most significant first."""
    powers = [256**i for i in reversed(range(digits.shape[0]))]
    return tf.reduce_sum(digits * tf.constant(powers, tf.int64))


def _jpeg_size(data: tf.Tensor) -> tf.Tensor:
    # The marker of a scan; in the numbers of one no byte 0xff comes before such another.
    scans = tf.size(tf.strings.split(data, b"\xff\xda")) - 1
    _require(scans <= MAX_SCANS, f"a JPEG has {{}} scans; at most {MAX_SCANS} are allowed", scans)
    return tf.cast(tf.io.extract_jpeg_shape(data)[:2], tf.int64)


def _png_size(head: tf.Tensor) -> tf.Tensor:
    return tf.stack([_number(head[20:24]), _number(head[16:20])])


def _webp_size(head: tf.Tensor) -> tf.Tensor:
    """Of the three kinds: lossy, lossless, and a canvas with what else belongs to it."""
    kind = head[12:16]

    def lossy() -> tf.Tensor:
        return tf.stack([_number(head[28:30][::-1]) % 2**14, _number(head[26:28][::-1]) % 2**14])

    def lossless() -> tf.Tensor:
        bits = _number(head[21:25][::-1])
        return tf.stack([bits // 2**14 % 2**14 + 1, bits % 2**14 + 1])

    def canvas() -> tf.Tensor:
        _require(head[20] // 2 % 2 == 0, "a WebP is animated; one frame is allowed")
        return tf.stack([_number(head[27:30][::-1]) + 1, _number(head[24:27][::-1]) + 1])

    return tf.case(
        [(_starts(kind, b"VP8 "), lossy), (_starts(kind, b"VP8L"), lossless)], default=canvas
    )
