"""PNG files: limits on their chunks, and their pixels."""

import tensorflow as tf

from keras_resnet.preprocessing.decoding.colours import convert
from keras_resnet.preprocessing.decoding.reading import integer, length, piece, require

__all__ = ["SIGNATURE", "pixels", "size"]

SIGNATURE = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
MAX_TEXTS = 16  # compressed texts; libpng inflates each to up to 8 MB
MAX_CHUNKS = 2**15  # each costs time; libpng writes 8 kB per chunk
TEXTS = (b"zTXt", b"iTXt")
END = b"IEND"
PALETTE = 3  # the colour type of indices


def size(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns height and width, int64.

    Raises:
        InvalidArgumentError: at run time, for too many texts or chunks.
    """
    texts, chunks = _walk(data)
    checks = [
        require(texts <= MAX_TEXTS, f"a PNG has more than {MAX_TEXTS} compressed texts"),
        require(chunks <= MAX_CHUNKS, f"a PNG has more than {MAX_CHUNKS} chunks"),
    ]
    with tf.control_dependencies(checks):
        return integer(data, 20, 4, "big"), integer(data, 16, 4, "big")


def pixels(data: tf.Tensor, channels: int) -> tf.Tensor:
    """Decodes to RGB, or to RGBA for 4 channels; of 16 bits the upper 8 are kept."""
    if channels < 4:
        return tf.io.decode_png(data, channels=3)
    # For 4 channels, TensorFlow adds an alpha of 2^bits - 1 to images of less than 8 bits. Palettes
    # are decoded with their own channels; for grey images, an alpha other than 0 becomes 255.
    palette = integer(data, 25, 1, "big") == PALETTE
    shallow = integer(data, 24, 1, "big") < 8

    def four() -> tf.Tensor:
        image = tf.io.decode_png(data, channels=4)
        opaque = tf.cast(image[..., 3:] > 0, tf.uint8) * 255
        return tf.concat([image[..., :3], tf.where(shallow, opaque, image[..., 3:])], -1)

    return tf.cond(palette, lambda: convert(tf.io.decode_png(data), 4), four)


def _walk(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Counts texts and chunks up to the end of the image, or until there are too many."""
    end = length(data)

    def unfinished(place: tf.Tensor, texts: tf.Tensor, chunks: tf.Tensor) -> tf.Tensor:
        return (place + 8 <= end) & (texts <= MAX_TEXTS) & (chunks <= MAX_CHUNKS)

    def step(place: tf.Tensor, texts: tf.Tensor, chunks: tf.Tensor) -> tuple[tf.Tensor, ...]:
        name = piece(data, place + 4, 4)
        after = place + 12 + integer(data, place, 4, "big")  # with its name and checksum
        text = tf.reduce_any(name == tf.constant(TEXTS))
        after = tf.where(name == END, end, after)
        return after, texts + tf.cast(text, tf.int64), chunks + 1

    zero = tf.constant(0, tf.int64)
    _, texts, chunks = tf.while_loop(
        unfinished, step, (zero + 8, zero, zero), parallel_iterations=1
    )
    return texts, chunks
