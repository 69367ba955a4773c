"""BMP files. They are decoded here: TensorFlow returns the indices of a palette as grey values."""

import tensorflow as tf

from keras_resnet.preprocessing.decoding.reading import integer, length, piece, require

__all__ = ["SIGNATURE", "pixels"]

SIGNATURE = b"BM"
FILE_HEADER = 14
HEADERS = (40, 52, 56, 64, 108, 124)  # bytes; all begin alike, unlike the one of OS/2 with 12 bytes
PALETTES, COLOURS = (1, 4, 8), (24, 32)  # bits per pixel of an index, and of blue, green and red
BIT_FIELDS = 3
MASKS = (0xFF0000, 0xFF00, 0xFF)  # of red, green and blue, in the usual order


def pixels(data: tf.Tensor) -> tf.Tensor:
    """Decodes to uint8 [height, width, 3], RGB; alpha is dropped.

    Raises:
        InvalidArgumentError: at run time, for compressed files, for other numbers of bits, and for
            truncated files.
    """
    header = _number(data, 14)
    bits = _number(data, 28, 2)
    height = _signed(_number(data, 22))
    width = _signed(_number(data, 18))
    with tf.control_dependencies(_plain(data, header, bits)):
        bits = tf.identity(bits)
    stride = (width * bits + 31) // 32 * 4
    available = tf.maximum(length(data) - _number(data, 10), 0)
    # A division, because the product can exceed 63 bits.
    whole = (width > 0) & (height != 0) & (tf.abs(height) <= available // tf.maximum(stride, 1))
    message = "a BMP of {}x{} pixels is truncated"
    with tf.control_dependencies([require(whole, message, width, tf.abs(height))]):
        rows = piece(data, _number(data, 10), tf.abs(height) * stride)
    rows = tf.reshape(tf.io.decode_raw(rows, tf.uint8), [tf.abs(height), stride])
    rows = tf.cond(height > 0, lambda: rows[::-1], lambda: rows)  # from the bottom up
    image = tf.cond(
        bits <= 8,
        lambda: _coloured(data, _indices(rows, bits)[:, :width], FILE_HEADER + header, bits),
        lambda: _blue_green_red(rows, width, bits // 8),
    )
    image.set_shape([None, None, 3])
    return image


def _number(data: tf.Tensor, place: int, size: int = 4) -> tf.Tensor:
    return integer(data, place, size, "little")


def _signed(number: tf.Tensor) -> tf.Tensor:
    return tf.where(number < 2**31, number, number - 2**32)


def _plain(data: tf.Tensor, header: tf.Tensor, bits: tf.Tensor) -> list[tf.Operation]:
    """Requires a kind of BMP that can be decoded."""
    compression = _number(data, 30)
    masks = tf.stack([_number(data, place) for place in (54, 58, 62)])
    usual = (bits == 32) & tf.reduce_all(masks == tf.constant(MASKS, tf.int64))
    plain = (compression == 0) | ((compression == BIT_FIELDS) & usual)
    return [
        require(
            tf.reduce_any(header == tf.constant(HEADERS, tf.int64)),
            f"a BMP has a header of {{}} bytes; supported are {', '.join(map(str, HEADERS))}",
            header,
        ),
        require(
            tf.reduce_any(bits == tf.constant(PALETTES + COLOURS, tf.int64)),
            "a BMP has {} bits per pixel; supported are 1, 4, 8, 24 and 32",
            bits,
        ),
        require(plain, "a BMP has compression {}; only uncompressed is supported", compression),
    ]


def _indices(rows: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """Splits bytes into indices, the upper bits first."""
    rows = tf.cast(rows, tf.int32)
    bits = tf.cast(bits, tf.int32)
    shifts = tf.range(8 - bits, -1, -bits)
    indices = tf.bitwise.right_shift(rows[..., tf.newaxis], shifts) % 2**bits
    return tf.reshape(indices, [tf.shape(rows)[0], -1])


def _coloured(data: tf.Tensor, indices: tf.Tensor, place: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """Looks colours up; indices beyond the palette are black."""
    used = _number(data, 46)
    most = 2**bits
    used = tf.where((used == 0) | (used > most), most, used)
    palette = tf.io.decode_raw(piece(data, place, 4 * used), tf.uint8, fixed_length=4 * 256)
    return tf.gather(tf.reshape(palette, [256, 4])[:, 2::-1], indices)


def _blue_green_red(rows: tf.Tensor, width: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    return tf.reshape(rows[:, : width * size], [-1, width, size])[..., 2::-1]
