"""Tensors of a file: their shapes, and functions that read them."""

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

# Zeros compress by a factor of 1,000; trained weights hardly compress.
EXPANSION = 100
DIMENSIONS, LONGEST = 32, 1 << 48  # far beyond what weights have


class Tensor(NamedTuple):
    """An array in a file; it is read after its shape has been compared."""

    shape: tuple[int, ...]
    read: Callable[[], np.ndarray[Any, Any]]

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)


def check_sizes(tensors: Iterable[Tensor], stored_bytes: int) -> None:
    """Refuses files that need far more memory than their size.

    Raises:
        ValueError: if the arrays have more than `EXPANSION` numbers per byte of the file.
    """
    claimed = sum(tensor.size for tensor in tensors)
    if claimed > EXPANSION * stored_bytes:
        raise ValueError(f"it has {stored_bytes:,} bytes and claims to contain {claimed:,} numbers")


def named(value: Any) -> str:
    """Describes an object of a file for an error; containers, which may be deep, by their type."""
    return repr(value)[:80] if isinstance(value, str | int) else f"a {type(value).__name__}"


def checked_shape(shape: Any) -> tuple[int, ...]:
    """Returns a shape from a file as a tuple of sizes.

    Raises:
        ValueError: if it is not a sequence of sizes, or too large.
    """
    if (
        not isinstance(shape, tuple | list)
        or len(shape) > DIMENSIONS
        or not all(type(n) is int and 0 <= n < LONGEST for n in shape)
    ):
        raise ValueError(f"a shape must be a sequence of sizes, got {named(shape)}")
    return tuple(shape)
