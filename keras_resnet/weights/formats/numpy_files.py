"""Reads NumPy arrays from `.npz` archives and from pickles, such as those of Detectron."""

import math
import re
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import numpy as np

from keras_resnet.weights.formats import pickles
from keras_resnet.weights.formats.pickles import Buildable, Call, Unknown
from keras_resnet.weights.formats.tensors import Tensor, checked_shape, named

NUMBERS = "fiub"  # kinds of dtypes: no objects, which are pickles again
NPY = b"\x93NUMPY\x01\x00"
# As NumPy writes it; its own reader takes any Python literal, and all the time that one needs.
HEADER = re.compile(
    r"\{'descr': '([<>|=]?[fiub][1248])', 'fortran_order': (True|False),"
    r" 'shape': \(((?:\d{1,18}, ?)*(?:\d{1,18})?)\), ?\} *\n?"
)


def read_npz(archive: zipfile.ZipFile) -> dict[str, Tensor]:
    """Returns the arrays of an archive that stays open while they are read."""
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
        raise ValueError(f"{member.filename} is no array of numbers in version 1 of the npy format")
    dtype, fortran = np.dtype(match[1]), match[2] == "True"
    shape = checked_shape([int(size) for size in match[3].split(",") if size.strip()])
    begin = len(start) + length
    if begin + math.prod(shape) * dtype.itemsize != member.file_size:
        raise ValueError(f"{member.filename} does not hold the numbers that it announces")

    def read() -> np.ndarray[Any, Any]:
        numbers = np.frombuffer(archive.read(member)[begin:], dtype)
        return numbers.reshape(shape, order="F" if fortran else "C")

    return Tensor(shape, read)


class _Dtype(Buildable):
    """A dtype: its constructor gets kind and width, its state the order of the bytes."""

    def __init__(self, code: str) -> None:
        self.dtype = np.dtype(code)

    def build(self, state: Any) -> None:
        order = state[1]
        if order not in ("<", ">", "|", "="):
            raise ValueError(f"a byte order is < or >, got {named(order)}")
        self.dtype = self.dtype.newbyteorder(order)


def _dtype(code: Any, *_: Any) -> _Dtype | Unknown:
    if isinstance(code, str) and re.fullmatch(f"[{NUMBERS}][1248]", code):
        return _Dtype(code)
    return Unknown("numpy.dtype")  # of objects, texts or dates, none of which are weights


class Array(Buildable):
    """An array that is created empty; its state holds shape, dtype and bytes."""

    def __init__(self, *_: Any) -> None:
        self.tensor: Tensor | None = None  # stays None for what holds no numbers

    def build(self, state: Any) -> None:
        _, shape, dtype, fortran, content = state
        if not isinstance(dtype, Unknown):
            self.tensor = _tensor(content, dtype, shape, "F" if fortran is True else "C")


def _tensor(content: Any, dtype: Any, shape: Any, order: Any = "C") -> Tensor:
    """Takes bytes, or the text that Python 2 wrote, of which each character is one.

    They become numbers when they are read: a pickle can use one text for any number of arrays.
    """
    shape = checked_shape(shape)
    if not isinstance(content, bytes | bytearray | str) or not isinstance(dtype, _Dtype):
        raise ValueError("an array has no bytes or no dtype")
    kind = dtype.dtype
    if len(content) != math.prod(shape) * kind.itemsize:
        raise ValueError(f"an array of shape {shape} has {len(content)} bytes")

    def read() -> np.ndarray[Any, Any]:
        data = content.encode("latin-1") if isinstance(content, str) else content
        return np.frombuffer(data, kind).reshape(shape, order="F" if order == "F" else "C")

    return Tensor(shape, read)


def _from_buffer(content: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> Array:
    """Protocol 5; `axes` say how an array that lies otherwise in memory has to be turned."""
    array = Array()
    if isinstance(dtype, Unknown):
        return array
    array.tensor = found = _tensor(content, dtype, shape, order)
    if axes is not None:
        turned = checked_shape(axes)
        if sorted(turned) != list(range(len(found.shape))):
            raise ValueError(f"an array of {len(found.shape)} axes is turned by {turned}")
        shape = tuple(found.shape[axis] for axis in turned)
        array.tensor = Tensor(shape, lambda: found.read().transpose(turned))
    return array


def _encode(text: Any, encoding: Any) -> str:
    """Python 3 writes bytes so, where its pickle is to be read by Python 2; see `_tensor`."""
    if encoding != "latin1" or not isinstance(text, str):
        raise ValueError(f"bytes are encoded as latin1, got {named(encoding)}")
    return text


def _scalar(*_: Any) -> None:
    """A number beside the weights, such as an accuracy."""


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
    """Returns what a pickle holds: containers, and an `Array` for each array."""
    return pickles.load(stream, NAMES)
