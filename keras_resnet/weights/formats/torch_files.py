"""Reads files of `torch.save` without PyTorch: zip archives (since 1.6) and the older format.

Formats: `torch/serialization.py` of PyTorch. A storage is a flat array outside of the pickle; a
tensor is a view of a storage.
"""

import io
import math
import re
import struct
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NamedTuple

import ml_dtypes
import numpy as np

from keras_resnet.weights.formats import numpy_files, pickles
from keras_resnet.weights.formats.pickles import Call, Unknown
from keras_resnet.weights.formats.tensors import Tensor, checked_shape, named

HEAD = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."  # a pickled number
PROTOCOL = 1001
DTYPES: Mapping[str, Any] = {
    "Double": np.float64,
    "Float": np.float32,
    "Half": np.float16,
    "BFloat16": ml_dtypes.bfloat16,
    "Long": np.int64,
    "Int": np.int32,
    "Short": np.int16,
    "Char": np.int8,
    "Byte": np.uint8,
    "Bool": np.bool_,
}
SCRIPT = re.compile(r"(?:.*/)?(?:constants\.pkl|code/.*)", re.DOTALL)  # only TorchScript has them


class Storage(NamedTuple):
    """A flat array in a file."""

    size: int
    read: Callable[[], np.ndarray[Any, Any]]  # [size]


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor | Unknown:
    if isinstance(storage, Unknown):
        return storage
    shape, steps = checked_shape(size), checked_shape(stride)
    if not isinstance(storage, Storage) or len(steps) != len(shape):
        raise ValueError("a tensor is not a valid view of a storage")
    last = offset + sum((n - 1) * step for n, step in zip(shape, steps, strict=True))
    count = math.prod(shape)
    if type(offset) is not int or offset < 0 or count > storage.size:
        raise ValueError(f"a tensor of shape {shape} is larger than its storage")
    if count and last >= storage.size:
        raise ValueError(f"a tensor of shape {shape} extends beyond its storage")

    def read() -> np.ndarray[Any, Any]:
        flat = storage.read()[offset:]
        byte_steps = [step * flat.itemsize for step in steps]
        return np.array(np.lib.stride_tricks.as_strided(flat, shape, byte_steps))

    return Tensor(shape, read)


def _subclass(function: Any, kind: Any, arguments: Any, *_: Any) -> Tensor | Unknown:
    """Returns a tensor with attributes; an `Unknown` for a class that stores data elsewhere."""
    if isinstance(function, Call) and function.function is _tensor:
        return _tensor(*arguments)
    return kind if isinstance(kind, Unknown) else Unknown("torch.Tensor")


def _ordered_dict(items: Any = ()) -> dict[Any, Any]:
    if isinstance(items, list):  # pairs, as in Python 2
        return {key: value for key, value in items if isinstance(key, str | int)}
    if items != ():
        raise ValueError(f"an ordered dictionary must have pairs, got {named(items)}")
    return {}


NAMES: Mapping[str, Any] = {
    **numpy_files.NAMES,
    "collections.OrderedDict": Call(_ordered_dict),
    "torch._utils._rebuild_tensor": Call(_tensor),
    "torch._utils._rebuild_tensor_v2": Call(_tensor),
    "torch._utils._rebuild_parameter": Call(lambda tensor, *_: tensor),
    "torch._utils._rebuild_parameter_with_state": Call(lambda tensor, *_: tensor),
    "torch._tensor._rebuild_from_type_v2": Call(_subclass),
    "torch.Size": Call(lambda size: size),
    **{f"torch.{name}Storage": np.dtype(dtype) for name, dtype in DTYPES.items()},
}


def _unreadable(key: Any) -> Unknown | None:
    """Returns an `Unknown` for a storage of an unknown dtype, or for the code of a module."""
    if isinstance(key, tuple) and len(key) > 1 and isinstance(key[1], Unknown):
        return Unknown(key[1].kind)
    return None


def _storage_id(key: Any) -> tuple[np.dtype[Any], str, int]:
    kind, dtype, name, _, count, *_ = key
    if isinstance(dtype, Unknown):
        raise ValueError(f"it has tensors of {dtype.kind}, which are not supported")
    if kind != "storage" or not isinstance(dtype, np.dtype) or not isinstance(name, str):
        raise ValueError(f"a storage must have a type, a name and a size, got {named(name)}")
    if type(count) is not int or count < 0:
        raise ValueError(f"a storage has an invalid size, {named(count)}")
    return dtype, name, count


def read_zip(archive: zipfile.ZipFile) -> Any:
    """Returns the content of an archive; its tensors need the open archive.

    Raises:
        ValueError: if it is malformed, or a TorchScript archive.
    """
    names = archive.namelist()
    if any(SCRIPT.fullmatch(name) for name in names):
        raise ValueError(
            "it is a TorchScript archive, whose code is not run. In PyTorch,"
            " torch.save(torch.jit.load(file).state_dict(), new_file) writes only its weights"
        )
    [pickle] = [name for name in names if name.endswith("data.pkl")]
    folder = pickle.removesuffix("data.pkl")
    if f"{folder}byteorder" in names:
        order = archive.read(f"{folder}byteorder")
        if order != b"little":
            raise ValueError(f"its byte order is {order[:9]!r}; only little is supported")

    def storage(key: Any) -> Storage | Unknown:
        if (unknown := _unreadable(key)) is not None:
            return unknown
        dtype, name, count = _storage_id(key)
        member = archive.getinfo(f"{folder}data/{name}")
        if member.file_size != count * dtype.itemsize:
            raise ValueError(f"storage {name} has {member.file_size} bytes for {count} numbers")
        return Storage(count, lambda: np.frombuffer(archive.read(member), dtype))

    return pickles.load(io.BytesIO(archive.read(pickle)), NAMES, storage)


def read_legacy(stream: BinaryIO, size: int) -> Any:
    """Returns the content of a file of `size` bytes; the stream is after the magic number."""
    if pickles.load(stream, {}) != PROTOCOL:
        raise ValueError("it does not have the protocol 1001 of torch.save")
    pickles.load(stream, {})  # sizes of C types on the machine that wrote it
    places: dict[str, int] = {}
    counts: dict[str, tuple[np.dtype[Any], int]] = {}

    def storage(key: Any) -> Storage | Unknown:
        if (code := _unreadable(key)) is not None and key[0] == "module":
            return code
        dtype, name, count = _storage_id(key)
        if len(key) > 5 and key[5] is not None:
            raise ValueError(
                f"storage {name} is a view of another one, as before PyTorch 0.4; not supported"
            )
        counts[name] = dtype, count

        def read() -> np.ndarray[Any, Any]:
            stream.seek(places[name])
            return np.frombuffer(stream.read(count * dtype.itemsize), dtype)

        return Storage(count, read)

    content = pickles.load(stream, NAMES, storage)
    names = pickles.load(stream, {})
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("the storages after its pickle have no names")
    if sorted(names) != sorted(counts):
        raise ValueError(f"its storages are {sorted(names)[:5]} but should be {sorted(counts)[:5]}")
    for name in names:
        dtype, count = counts[name]
        [stored] = struct.unpack("<q", stream.read(8))
        places[name] = stream.tell()
        end = places[name] + count * dtype.itemsize
        if stored != count or end > size:
            raise ValueError(f"storage {name} does not have {count} numbers")
        stream.seek(end)
    return content


def begins(stream: BinaryIO) -> bool:
    """Whether a file begins with the magic number of `torch.save` before PyTorch 1.6; reads it."""
    head = stream.read(len(HEAD))
    return head == HEAD
