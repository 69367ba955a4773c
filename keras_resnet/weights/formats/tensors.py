"""What a file of weights holds before anything of it is read: names, shapes, and how to read."""

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

# Compressed zeros shrink a thousandfold, and trained weights hardly at all.
EXPANSION = 100
DIMENSIONS, LONGEST = 32, 1 << 48  # far beyond what weights have


class Tensor(NamedTuple):
    """One array in a file; its numbers are read only after its shape was compared."""

    shape: tuple[int, ...]
    read: Callable[[], np.ndarray[Any, Any]]

    @property
    def size(self) -> int:
        return math.prod(self.shape)


def check_sizes(tensors: Iterable[Tensor], stored_bytes: int) -> None:
    """Refuses files that would grow out of all proportion in memory.

    Raises:
        ValueError: if the arrays claim far more numbers than the file can hold.
    """
    claimed = sum(tensor.size for tensor in tensors)
    if claimed > EXPANSION * stored_bytes:
        raise ValueError(f"it has {stored_bytes:,} bytes and claims to hold {claimed:,} numbers")


def named(value: Any) -> str:
    """Describes something from a file for an error; containers may be nested without end."""
    return repr(value)[:80] if isinstance(value, str | int) else f"a {type(value).__name__}"


def checked_shape(shape: Any) -> tuple[int, ...]:
    """Returns a shape that came from a file as a tuple of sizes."""
    if (
        not isinstance(shape, tuple | list)
        or len(shape) > DIMENSIONS
        or not all(type(n) is int and 0 <= n < LONGEST for n in shape)
    ):
        raise ValueError(f"a shape must hold sizes, got {named(shape)}")
    return tuple(shape)
