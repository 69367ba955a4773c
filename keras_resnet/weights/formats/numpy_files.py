"""Reads NumPy arrays from `.npz` archives and from pickles, such as those of Detectron."""

import math
import re
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import numpy as np

from keras_resnet.weights.formats import pickles
from keras_resnet.weights.formats.pickles import Buildable, Call
from keras_resnet.weights.formats.tensors import Tensor, checked_shape, named

NUMBERS = "fiub"  # kinds of dtypes: no objects, which are pickles again


def read_npz(archive: zipfile.ZipFile) -> dict[str, Tensor]:
    """Returns the arrays of an archive that stays open while they are read."""
    return {
        member.filename.removesuffix(".npy"): _member(archive, member)
        for member in archive.infolist()
    }


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Tensor:
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):
            raise ValueError(f"{member.filename} is of version {version} of the npy format")
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        header = stream.tell()
    if dtype.kind not in NUMBERS or header + math.prod(shape) * dtype.itemsize != member.file_size:
        raise ValueError(f"{member.filename} does not hold the numbers that it announces")

    def read() -> np.ndarray[Any, Any]:
        with archive.open(member) as stream:
            return np.lib.format.read_array(stream, allow_pickle=False)

    return Tensor(shape, read)


class _Dtype(Buildable):
    """A dtype: its constructor gets kind and width, its state the order of the bytes."""

    def __init__(self, code: Any, *_: Any) -> None:
        if not isinstance(code, str) or not re.fullmatch(f"[{NUMBERS}][1248]", code):
            raise ValueError(f"an array of {named(code)} holds no numbers")
        self.dtype = np.dtype(code)

    def build(self, state: Any) -> None:
        order = state[1]
        if order not in ("<", ">", "|", "="):
            raise ValueError(f"a byte order is < or >, got {named(order)}")
        self.dtype = self.dtype.newbyteorder(order)


class _Array(Buildable):
    """An array that is created empty; its state holds shape, dtype and bytes."""

    def __init__(self, *_: Any) -> None:
        self.tensor = Tensor((0,), lambda: np.zeros(0))

    def build(self, state: Any) -> None:
        _, shape, dtype, fortran, content = state
        self.tensor = _tensor(content, dtype, shape, "F" if fortran is True else "C")


def _tensor(content: Any, dtype: Any, shape: Any, order: Any = "C") -> Tensor:
    shape = checked_shape(shape)
    # Python 2 wrote bytes as a string, of which each character is one.
    data = content.encode("latin-1") if isinstance(content, str) else content
    if not isinstance(data, bytes | bytearray) or not isinstance(dtype, _Dtype):
        raise ValueError("an array has no bytes or no dtype")
    if len(data) != math.prod(shape) * dtype.dtype.itemsize:
        raise ValueError(f"an array of shape {shape} has {len(data)} bytes")
    array = np.frombuffer(data, dtype.dtype).reshape(shape, order="F" if order == "F" else "C")
    return Tensor(shape, lambda: array)


def _from_buffer(content: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    array = _Array()
    array.tensor = _tensor(content, dtype, shape, order)
    return array


def _encode(text: Any, encoding: Any) -> bytes:
    """Python 3 writes bytes so, where its pickle is to be read by Python 2."""
    if encoding != "latin1" or not isinstance(text, str):
        raise ValueError(f"bytes are encoded as latin1, got {named(encoding)}")
    return text.encode("latin-1")


def _scalar(*_: Any) -> None:
    """A number beside the weights, such as an accuracy."""


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "multiarray._reconstruct": _Array,
    "numeric._frombuffer": _from_buffer,
    "multiarray.scalar": _scalar,
}
NAMES: Mapping[str, Any] = {
    "numpy.ndarray": None,
    "numpy.dtype": Call(_Dtype),
    "_codecs.encode": Call(_encode),
    **{
        f"numpy.{core}.{name}": Call(function)
        for core in ("core", "_core")
        for name, function in FUNCTIONS.items()
    },
}


def read_pickle(stream: BinaryIO) -> dict[str, Tensor]:
    """Returns the arrays of a pickled dictionary, or of its "blobs"."""
    content = pickles.load(stream, NAMES)
    if isinstance(content, dict) and isinstance(content.get("blobs"), dict):
        content = content["blobs"]
    if not isinstance(content, dict):
        raise ValueError(f"it holds {named(content)}, and no dictionary of arrays")
    return {str(k): value.tensor for k, value in content.items() if isinstance(value, _Array)}
