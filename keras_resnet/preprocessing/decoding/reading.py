"""Reads numbers and signatures from the bytes of a file, and checks, inside a graph."""

from typing import Literal

import tensorflow as tf

__all__ = ["integer", "length", "piece", "require", "starts"]


def length(data: tf.Tensor) -> tf.Tensor:
    """Returns the number of bytes, int64."""
    return tf.cast(tf.strings.length(data), tf.int64)


def piece(data: tf.Tensor, place: tf.Tensor | int, size: tf.Tensor | int) -> tf.Tensor:
    """Returns `size` bytes from `place` on, fewer at the end of the file."""
    place = tf.minimum(tf.cast(place, tf.int64), length(data))
    return tf.strings.substr(data, place, tf.cast(size, tf.int64))


def integer(
    data: tf.Tensor, place: tf.Tensor | int, size: int, order: Literal["little", "big"]
) -> tf.Tensor:
    """Reads an unsigned integer of `size` bytes as int64; bytes after the end count as 0."""
    digits = tf.io.decode_raw(piece(data, place, size), tf.uint8, fixed_length=size)
    powers = [256**i for i in range(size)]
    weights = powers if order == "little" else powers[::-1]
    return tf.reduce_sum(tf.cast(digits, tf.int64) * tf.constant(weights, tf.int64))


def starts(data: tf.Tensor, *signature: bytes, place: int = 0) -> tf.Tensor:
    """Whether one of these signatures, of equal length, is at `place`."""
    return tf.reduce_any(piece(data, place, len(signature[0])) == tf.constant(signature))


def require(condition: tf.Tensor, message: str, *values: tf.Tensor) -> tf.Operation:
    """Raises InvalidArgumentError at run time unless the condition holds; {} are the values."""
    return tf.debugging.Assert(condition, [tf.strings.format(message, values)])
