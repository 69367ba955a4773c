"""From the bytes of anybody's images to pixels, inside a graph: what would cost much is refused.

JPEG, PNG and WebP say in their first bytes how large they are. An image of a few hundred bytes
can ask for gigabytes, or for hours, and decoders only fail once they have tried.
"""

import tensorflow as tf

CHANNELS = (1, 3, 4)  # that images in files can have
MAX_PIXELS = 2**25  # of one image: 100 MB
MAX_TOTAL = 16 * MAX_PIXELS  # of all images of a request
# Of progressive JPEGs: each scan is as much work as a whole image; encoders write about ten.
MAX_SCANS = 100
MAX_SCANNED = 20 * MAX_PIXELS
MAX_TEXTS = 16  # compressed ones of a PNG, of 8 MB each once they are not
HEAD = 32


def total(data: tf.Tensor) -> tf.Tensor:
    """Returns how many pixels the images of a string tensor [batch] have in all.

    Raises:
        InvalidArgumentError: when run, for what is no JPEG, PNG or WebP of one frame, and for all
            that is too large; nothing is decoded.
    """
    pixels = tf.reduce_sum(tf.map_fn(_pixels, data, fn_output_signature=tf.int64))
    message = f"the images of a request have {{}} pixels; at most {MAX_TOTAL} are allowed"
    with tf.control_dependencies([_require(pixels <= MAX_TOTAL, message, pixels)]):
        return tf.identity(pixels)


def decode(data: tf.Tensor, channels: int) -> tf.Tensor:
    """Decodes a scalar string, which `total` has seen, to uint8 [height, width, channels].

    Transparency is dropped, and so are the lower eight of sixteen bits.

    Raises:
        InvalidArgumentError: when run, for a broken image.
    """
    image = tf.cond(
        tf.strings.substr(data, 0, 4) == b"RIFF",
        lambda: _webp(data, channels),
        lambda: tf.io.decode_image(data, channels=channels, expand_animations=False),
    )
    image.set_shape([None, None, channels])
    return image


def _webp(data: tf.Tensor, channels: int) -> tf.Tensor:
    """Decodes as many channels as there are, since no others can be asked for."""
    image = tf.io.decode_webp(data)[0]
    if channels == 1:
        return tf.image.rgb_to_grayscale(image[..., :3])
    opaque = tf.fill(tf.concat([tf.shape(image)[:2], [1]], 0), tf.constant(255, tf.uint8))
    return tf.concat([image, opaque], -1)[..., :channels]


def _pixels(data: tf.Tensor) -> tf.Tensor:
    head = tf.strings.join([tf.strings.substr(data, 0, HEAD), b"\0" * HEAD])
    head = tf.cast(tf.io.decode_raw(head, tf.uint8)[:HEAD], tf.int64)
    head.set_shape([HEAD])
    is_jpeg = _starts(head, b"\xff\xd8\xff")
    is_png = _starts(head, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    is_webp = _starts(head, b"RIFF") & _starts(head[8:], b"WEBP")
    known = _require(is_jpeg | is_png | is_webp, "image_bytes hold no JPEG, PNG or WebP")
    with tf.control_dependencies([known]):
        height, width, scans = tf.unstack(
            tf.case(
                [(is_jpeg, lambda: _jpeg(data)), (is_png, lambda: _png(data, head))],
                default=lambda: _webp_size(head),
            ),
            num=3,
        )
    # Divided, as the product of two sizes of 32 bits can be more than 63 bits.
    allowed = (height > 0) & (width > 0) & (height <= MAX_PIXELS // tf.maximum(width, 1))
    message = f"an image has {{}}x{{}} pixels; at most {MAX_PIXELS} are allowed"
    with tf.control_dependencies([_require(allowed, message, width, height)]):
        scanned = height * width * scans
    message = f"a JPEG has {{}} scans of {{}} pixels; at most {MAX_SCANNED} in all are allowed"
    fits = _require((scanned <= MAX_SCANNED) | (scans == 1), message, scans, height * width)
    with tf.control_dependencies([fits]):
        return height * width


def _require(condition: tf.Tensor, message: str, *values: tf.Tensor) -> tf.Operation:
    return tf.debugging.Assert(condition, [tf.strings.format(message, values)])


def _starts(head: tf.Tensor, text: bytes) -> tf.Tensor:
    return tf.reduce_all(head[: len(text)] == tf.constant(list(text), tf.int64))


def _number(digits: tf.Tensor) -> tf.Tensor:
    """Reads bytes, the most significant first."""
    powers = [256**i for i in reversed(range(digits.shape[0]))]
    return tf.reduce_sum(digits * tf.constant(powers, tf.int64))


def _count(data: tf.Tensor, mark: bytes) -> tf.Tensor:
    return tf.size(tf.strings.split(data, mark), tf.int64) - 1


def _jpeg(data: tf.Tensor) -> tf.Tensor:
    # In the numbers of a scan no byte 0xff comes before such another: these are markers.
    scans = _count(data, b"\xff\xda")
    message = f"a JPEG has {{}} scans; at most {MAX_SCANS} are allowed"
    with tf.control_dependencies([_require(scans <= MAX_SCANS, message, scans)]):
        height, width, _ = tf.unstack(tf.io.extract_jpeg_shape(data, tf.int64), num=3)
    return tf.stack([height, width, scans])


def _png(data: tf.Tensor, head: tf.Tensor) -> tf.Tensor:
    texts = _count(data, b"zTXt") + _count(data, b"iTXt")
    message = f"a PNG has {{}} texts; at most {MAX_TEXTS} are allowed"
    with tf.control_dependencies([_require(texts <= MAX_TEXTS, message, texts)]):
        return tf.stack([_number(head[20:24]), _number(head[16:20]), 1])


def _webp_size(head: tf.Tensor) -> tf.Tensor:
    """Of the three kinds: lossy, lossless, and a canvas with what else belongs to it."""
    kind = head[12:16]

    def lossy() -> tf.Tensor:
        height, width = _number(head[28:30][::-1]), _number(head[26:28][::-1])
        return tf.stack([height % 2**14, width % 2**14, 1])

    def lossless() -> tf.Tensor:
        bits = _number(head[21:25][::-1])
        return tf.stack([bits // 2**14 % 2**14 + 1, bits % 2**14 + 1, 1])

    def canvas() -> tf.Tensor:
        still = _require(head[20] // 2 % 2 == 0, "a WebP is animated; one frame is allowed")
        with tf.control_dependencies([still]):
            return tf.stack([_number(head[27:30][::-1]) + 1, _number(head[24:27][::-1]) + 1, 1])

    return tf.case(
        [(_starts(kind, b"VP8 "), lossy), (_starts(kind, b"VP8L"), lossless)], default=canvas
    )
