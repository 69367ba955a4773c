"""BMP files: TensorFlow returns the indices of a palette as greys, so they are read here."""

import tensorflow as tf

from keras_resnet.preprocessing.decoding.reading import integer, length, piece, require

SIGNATURE = b"BM"
FILE_HEADER = 14
HEADERS = (40, 52, 56, 64, 108, 124)  # bytes; they begin alike, which OS/2's of 12 does not
PALETTES, COLOURS = (1, 4, 8), (24, 32)  # bits of a pixel: an index, or blue, green and red
BIT_FIELDS = 3
MASKS = (0xFF0000, 0xFF00, 0xFF)  # of red, green and blue, in the order that others have anyway


def pixels(data: tf.Tensor) -> tf.Tensor:
    """Decodes to RGB; alpha is dropped.

    Raises:
        InvalidArgumentError: when run, for compressed files and other numbers of bits, which few
            programs write, and for files that are cut short.
    """
    header = _number(data, 14)
    bits = _number(data, 28, 2)
    height = _signed(_number(data, 22))
    width = _signed(_number(data, 18))
    with tf.control_dependencies(_plain(data, header, bits)):
        bits = tf.identity(bits)
    stride = (width * bits + 31) // 32 * 4
    available = tf.maximum(length(data) - _number(data, 10), 0)
    # Divided, as the product can be more than 63 bits.
    whole = (width > 0) & (height != 0) & (tf.abs(height) <= available // tf.maximum(stride, 1))
    message = "a BMP of {}x{} pixels is cut short"
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
    """Requires one of the kinds that can be read."""
    compression = _number(data, 30)
    masks = tf.stack([_number(data, place) for place in (54, 58, 62)])
    usual = (bits == 32) & tf.reduce_all(masks == tf.constant(MASKS, tf.int64))
    plain = (compression == 0) | ((compression == BIT_FIELDS) & usual)
    return [
        require(
            tf.reduce_any(header == tf.constant(HEADERS, tf.int64)),
            f"a BMP has a header of {{}} bytes; {', '.join(map(str, HEADERS))} can be read",
            header,
        ),
        require(
            tf.reduce_any(bits == tf.constant(PALETTES + COLOURS, tf.int64)),
            "a BMP has {} bits per pixel; 1, 4, 8, 24 and 32 can be read",
            bits,
        ),
        require(plain, "a BMP has compression {}; only uncompressed ones can be read", compression),
    ]


def _indices(rows: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """Takes bytes apart, the upper bits first."""
    rows = tf.cast(rows, tf.int32)
    bits = tf.cast(bits, tf.int32)
    shifts = tf.range(8 - bits, -1, -bits)
    indices = tf.bitwise.right_shift(rows[..., tf.newaxis], shifts) % 2**bits
    return tf.reshape(indices, [tf.shape(rows)[0], -1])


def _coloured(data: tf.Tensor, indices: tf.Tensor, place: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """Looks colours up; those that a palette does not have are black."""
    used = _number(data, 46)
    most = 2**bits
    used = tf.where((used == 0) | (used > most), most, used)
    palette = tf.io.decode_raw(piece(data, place, 4 * used), tf.uint8, fixed_length=4 * 256)
    return tf.gather(tf.reshape(palette, [256, 4])[:, 2::-1], indices)


def _blue_green_red(rows: tf.Tensor, width: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    return tf.reshape(rows[:, : width * size], [-1, width, size])[..., 2::-1]
