"""Reads `torch.save` files, of Torch 1.6 and later (zip) and before, without Torch.

Formats: `torch/serialization.py` of PyTorch. A storage is a flat array outside of the pickle; a
tensor is a view of one.
"""

import io
import math
import struct
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NamedTuple

import ml_dtypes
import numpy as np

from keras_resnet.weights.formats import pickles
from keras_resnet.weights.formats.pickles import Call
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
# Where a checkpoint keeps the weights of its model; averaged ones are those that were measured.
PLACES = ("state_dict_ema", "model_ema", "state_dict", "model")
PREFIXES = ("module.", "_orig_mod.")


class Storage(NamedTuple):
    size: int
    read: Callable[[], np.ndarray[Any, Any]]  # [size]


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
    shape, steps = checked_shape(size), checked_shape(stride)
    if not isinstance(storage, Storage) or len(steps) != len(shape):
        raise ValueError("a tensor is not a view of a storage")
    last = offset + sum((n - 1) * step for n, step in zip(shape, steps, strict=True))
    count = math.prod(shape)
    if type(offset) is not int or offset < 0 or count > storage.size:
        raise ValueError(f"a tensor of shape {shape} is larger than its storage")
    if count and last >= storage.size:
        raise ValueError(f"a tensor of shape {shape} reaches beyond its storage")

    def read() -> np.ndarray[Any, Any]:
        flat = storage.read()[offset:]
        byte_steps = [step * flat.itemsize for step in steps]
        return np.array(np.lib.stride_tricks.as_strided(flat, shape, byte_steps))

    return Tensor(shape, read)


def _ordered_dict(items: Any = ()) -> dict[Any, Any]:
    if items != ():
        raise ValueError("an ordered dictionary is filled item by item")
    return {}


NAMES: Mapping[str, Any] = {
    "collections.OrderedDict": Call(_ordered_dict),
    "torch._utils._rebuild_tensor": Call(_tensor),
    "torch._utils._rebuild_tensor_v2": Call(_tensor),
    "torch._utils._rebuild_parameter": Call(lambda tensor, *_: tensor),
    "torch.Size": Call(lambda size: size),
    **{f"torch.{name}Storage": np.dtype(dtype) for name, dtype in DTYPES.items()},
}


def _storage_id(key: Any) -> tuple[np.dtype[Any], str, int]:
    kind, dtype, name, _, count, *_ = key
    if kind != "storage" or not isinstance(dtype, np.dtype) or not isinstance(name, str):
        raise ValueError(f"a storage is given by type, name and size, got {named(name)}")
    if type(count) is not int or count < 0:
        raise ValueError(f"a storage of {named(count)} numbers")
    return dtype, name, count


def read_zip(archive: zipfile.ZipFile) -> dict[str, Tensor]:
    """Returns the tensors of an archive that stays open while they are read."""
    [pickle] = [name for name in archive.namelist() if name.endswith("data.pkl")]
    folder = pickle.removesuffix("data.pkl")
    if f"{folder}byteorder" in archive.namelist():
        order = archive.read(f"{folder}byteorder")
        if order != b"little":
            raise ValueError(
                f"its numbers are in byte order {order[:9]!r}, and only little is read"
            )

    def storage(key: Any) -> Storage:
        dtype, name, count = _storage_id(key)
        member = archive.getinfo(f"{folder}data/{name}")
        if member.file_size != count * dtype.itemsize:
            raise ValueError(f"storage {name} has {member.file_size} bytes for {count} numbers")
        return Storage(count, lambda: np.frombuffer(archive.read(member), dtype))

    content = pickles.load(io.BytesIO(archive.read(pickle)), NAMES, storage)
    return state_dict(content)


def read_legacy(stream: BinaryIO, size: int) -> dict[str, Tensor]:
    """Returns the tensors of a file of `size` bytes, read up to and including the magic number."""
    if pickles.load(stream, {}) != PROTOCOL:
        raise ValueError("it is not of the protocol 1001 of torch.save")
    pickles.load(stream, {})  # sizes of C types on the machine that wrote it
    places: dict[str, int] = {}
    counts: dict[str, tuple[np.dtype[Any], int]] = {}

    def storage(key: Any) -> Storage:
        dtype, name, count = _storage_id(key)
        if len(key) > 5 and key[5] is not None:
            raise ValueError(f"storage {name} is a view of another, as before Torch 0.4")
        counts[name] = dtype, count

        def read() -> np.ndarray[Any, Any]:
            stream.seek(places[name])
            return np.frombuffer(stream.read(count * dtype.itemsize), dtype)

        return Storage(count, read)

    tensors = state_dict(pickles.load(stream, NAMES, storage))
    names = pickles.load(stream, {})
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("the storages behind its pickle have no names")
    if sorted(names) != sorted(counts):
        raise ValueError(
            f"its storages are {sorted(names)[:5]}, and should be {sorted(counts)[:5]}"
        )
    for name in names:
        dtype, count = counts[name]
        [stored] = struct.unpack("<q", stream.read(8))
        places[name] = stream.tell()
        end = places[name] + count * dtype.itemsize
        if stored != count or end > size:
            raise ValueError(f"storage {name} has not the {count} numbers that it should have")
        stream.seek(end)
    return tensors


def state_dict(content: Any) -> dict[str, Tensor]:
    """Finds the weights in a checkpoint: itself, or what it keeps under a usual name."""
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}, and no dictionary of tensors")
    for place in PLACES:
        if isinstance(content.get(place), dict):
            content = content[place]
            break
    found = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    for prefix in PREFIXES:
        if all(str(name).startswith(prefix) for name in found):
            found = {str(name).removeprefix(prefix): value for name, value in found.items()}
    return found


def begins(stream: BinaryIO) -> bool:
    """Reads the number that `torch.save` began its files with before Torch 1.6, if it is there."""
    head = stream.read(len(HEAD))
    return head == HEAD
