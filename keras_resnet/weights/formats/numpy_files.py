"""Reads NumPy arrays from `.npz` archives and pickles, such as those of Detectron."""

import math
import re
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import numpy as np

from keras_resnet.weights.formats import pickles
from keras_resnet.weights.formats.pickles import Buildable, Call, Unknown
from keras_resnet.weights.formats.tensors import Tensor, checked_shape, named

NUMBERS = "fiub"  # kinds of dtypes; not objects, which are pickles
NPY = b"\x93NUMPY\x01\x00"
# As NumPy writes it. NumPy's reader accepts every Python literal, which can take any time.
HEADER = re.compile(
    r"\{'descr': '([<>|=]?[fiub][1248])', 'fortran_order': (True|False),"
    r" 'shape': \(((?:\d{1,18}, ?)*(?:\d{1,18})?)\), ?\} *\n?"
)


def read_npz(archive: zipfile.ZipFile) -> dict[str, Tensor]:
    """Returns the arrays of an archive; they need the open archive."""
    return {
        member.filename.removesuffix(".npy"): _member(archive, member)
        for member in archive.infolist()
    }


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Tensor:
    with archive.open(member) as stream:
        start = stream.read(len(NPY) + 2)
        length = int.from_bytes(start[len(NPY) :], "little")
        match = HEADER.fullmatch(stream.read(length).decode("latin-1"))
    if not start.startswith(NPY) or not match:
        raise ValueError(f"{member.filename} is not a numeric array in version 1 of the npy format")
    dtype, fortran = np.dtype(match[1]), match[2] == "True"
    shape = checked_shape([int(size) for size in match[3].split(",") if size.strip()])
    begin = len(start) + length
    if begin + math.prod(shape) * dtype.itemsize != member.file_size:
        raise ValueError(f"{member.filename} does not have the size that its header states")

    def read() -> np.ndarray[Any, Any]:
        numbers = np.frombuffer(archive.read(member)[begin:], dtype)
        return numbers.reshape(shape, order="F" if fortran else "C")

    return Tensor(shape, read)


class _Dtype(Buildable):
    """A dtype: the constructor receives kind and width, the state has the byte order."""

    def __init__(self, code: str) -> None:
        self.dtype = np.dtype(code)

    def build(self, state: Any) -> None:
        order = state[1]
        if order not in ("<", ">", "|", "="):
            raise ValueError(f"a byte order must be < or >, got {named(order)}")
        self.dtype = self.dtype.newbyteorder(order)


def _dtype(code: Any, *_: Any) -> _Dtype | Unknown:
    if isinstance(code, str) and re.fullmatch(f"[{NUMBERS}][1248]", code):
        return _Dtype(code)
    return Unknown("numpy.dtype")  # of objects, strings or dates, which are not weights


class Array(Buildable):
    """An array that is created empty; its state has shape, dtype and bytes."""

    def __init__(self, *_: Any) -> None:
        self.tensor: Tensor | None = None  # None if the array is not numeric

    def build(self, state: Any) -> None:
        _, shape, dtype, fortran, content = state
        if not isinstance(dtype, Unknown):
            self.tensor = _tensor(content, dtype, shape, "F" if fortran is True else "C")


def _tensor(content: Any, dtype: Any, shape: Any, order: Any = "C") -> Tensor:
    """Returns an array of bytes, or of a string of Python 2 with a byte per character.

    Memory is allocated when it is read: a pickle can use one string for any number of arrays.
    """
    shape = checked_shape(shape)
    if not isinstance(content, bytes | bytearray | str) or not isinstance(dtype, _Dtype):
        raise ValueError("an array has neither bytes nor a string, or no dtype")
    kind = dtype.dtype
    if len(content) != math.prod(shape) * kind.itemsize:
        raise ValueError(f"an array of shape {shape} has {len(content)} bytes")

    def read() -> np.ndarray[Any, Any]:
        data = content.encode("latin-1") if isinstance(content, str) else content
        return np.frombuffer(data, kind).reshape(shape, order="F" if order == "F" else "C")

    return Tensor(shape, read)


def _from_buffer(content: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> Array:
    """Returns an array of protocol 5; `axes` is the transposition of its memory layout."""
    array = Array()
    if isinstance(dtype, Unknown):
        return array
    array.tensor = found = _tensor(content, dtype, shape, order)
    if axes is not None:
        turned = checked_shape(axes)
        if sorted(turned) != list(range(len(found.shape))):
            raise ValueError(f"an array of {len(found.shape)} axes is transposed by {turned}")
        shape = tuple(found.shape[axis] for axis in turned)
        array.tensor = Tensor(shape, lambda: found.read().transpose(turned))
    return array


def _encode(text: Any, encoding: Any) -> str:
    """Returns bytes as a string, as Python 3 writes them for Python 2; see `_tensor`."""
    if encoding != "latin1" or not isinstance(text, str):
        raise ValueError(f"bytes must be encoded as latin1, got {named(encoding)}")
    return text


def _scalar(*_: Any) -> None:
    """Ignores a number beside the weights, such as an accuracy."""


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "multiarray._reconstruct": Array,
    "numeric._frombuffer": _from_buffer,
    "multiarray.scalar": _scalar,
}
NAMES: Mapping[str, Any] = {
    "numpy.ndarray": None,
    "numpy.dtype": Call(_dtype),
    "_codecs.encode": Call(_encode),
    "__builtin__.bytes": Call(lambda: b""),
    **{
        f"numpy.{core}.{name}": Call(function)
        for core in ("core", "_core")
        for name, function in FUNCTIONS.items()
    },
}


def read_pickle(stream: BinaryIO) -> Any:
    """Returns the content of a pickle: containers, and an `Array` per array."""
    return pickles.load(stream, NAMES)
