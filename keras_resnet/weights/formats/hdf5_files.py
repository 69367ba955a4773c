"""Reads the HDF5 files of Keras: `.weights.h5` of Keras 3 and `.h5` of Keras 2.

HDF5 files can link to other files; such links are refused.
"""

import json
import math
import mmap
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import h5py
import numpy as np

from keras_resnet.specs import is_rounding
from keras_resnet.weights.formats.tensors import Tensor

Names = tuple[str, ...]
NORM: Names = ("gamma", "beta", "moving_mean", "moving_variance")
OTHER: Names = ("kernel", "bias")
RANGE: Names = ("range",)  # of a FakeQuantize layer
CHUNK = 1 << 20  # numbers
HEAP = b"GCOL\x01\x00\x00\x00"  # the first bytes of a heap


def read(file: h5py.File) -> dict[str, Tensor]:
    """Returns tensors by names such as "conv1/kernel"; they need the open file."""
    if "layers" in file:
        return _once(_keras3(_group(file, "layers")))
    return _once(_keras2(_group(file, "model_weights") if "model_weights" in file else file))


def _once(tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name, tensor in tensors:
        if name in found:
            raise ValueError(f"it contains {name} twice")
        found[name] = tensor
    return found


def check_heaps(content: bytes | mmap.mmap) -> None:
    """Refuses heaps of strings with free space of an invalid size: libhdf5 would loop forever."""
    start = content.find(HEAP)
    while start >= 0:
        end = start + int.from_bytes(content[start + 8 : start + 16], "little")
        place = start + 16
        while place + 16 <= min(end, len(content)):
            size = int.from_bytes(content[place + 8 : place + 16], "little")
            free = not any(content[place : place + 2])
            if free and size < 16:  # the size of free space includes its header
                raise ValueError("it has a broken heap")
            place += -(-size // 8) * 8 + (0 if free else 16)
        start = content.find(HEAP, start + 1)


def read_bytes(file: h5py.File, name: str) -> bytes:
    """Returns the bytes of a dataset that was written as `numpy.frombuffer(content, "uint8")`."""
    dataset = _inside(file, name, h5py.Dataset)
    if dataset.dtype != np.uint8 or len(dataset.shape or ()) != 1 or dataset.chunks:
        raise ValueError(f"{name} is not a contiguous array of bytes")
    return bytes(_dataset(file, name).read())


def read_config(file: h5py.File) -> Any:
    """Returns the configuration of a model in a legacy `.h5` file; None without one.

    Raises:
        ValueError: if it is not valid JSON.
    """
    config = file.attrs.get("model_config")
    return json.loads(config) if isinstance(config, str | bytes) else None


def _keras3(layers: h5py.Group) -> Iterator[tuple[str, Tensor]]:
    """Yields tensors of Keras 3: names of layers are attributes, variables are numbered."""
    for number in layers:
        layer = _group(layers, number)
        if "vars" not in layer or not len(_group(layer, "vars")):
            continue
        variables = _group(layer, "vars")
        name = variables.attrs.get("name")
        if not isinstance(name, str):
            raise ValueError("it has no names of layers, which Keras writes since 3.6")
        rounds = is_rounding(name)
        names = RANGE if rounds else NORM if len(variables) == len(NORM) else OTHER
        for i in range(len(variables)):
            variable = names[i] if i < len(names) else str(i)
            yield f"{name}/{variable}", _dataset(variables, str(i))


def _keras2(layers: h5py.Group) -> Iterator[tuple[str, Tensor]]:
    """Yields tensors of Keras 2: paths are layer, ..., variable, as conv1/conv1/kernel:0."""
    paths: list[str] = []
    # Visits each object once, and does not follow links to other files.
    layers.visititems(lambda path, node: _note(paths, path, node))
    for path in paths:
        parts = path.split("/")
        yield f"{parts[0]}/{parts[-1].removesuffix(':0')}", _dataset(layers, path)


def _note(paths: list[str], path: str, node: Any) -> None:
    if isinstance(node, h5py.Dataset):
        paths.append(path)


def _group(parent: h5py.Group, name: str) -> h5py.Group:
    return _inside(parent, name, h5py.Group)


def _dataset(parent: h5py.Group, name: str) -> Tensor:
    dataset = _inside(parent, name, h5py.Dataset)
    if dataset.external or dataset.is_virtual or dataset.dtype.kind not in "fiub":
        raise ValueError(f"{name} is not numeric, or its data are outside of the file")
    if dataset.chunks:
        _check_chunks(dataset)
    return Tensor(dataset.shape or (), lambda: np.array(dataset))


def _check_chunks(dataset: h5py.Dataset) -> None:
    """Checks the sizes of chunks: a chunk is allocated as a whole, and can inflate to any size."""
    numbers = math.prod(dataset.chunks)
    if numbers > max(CHUNK, 2 * dataset.size) or dataset.compression not in (None, "gzip"):
        raise ValueError(f"{dataset.name} of shape {dataset.shape} has chunks of {dataset.chunks}")
    expected = numbers * dataset.dtype.itemsize
    for i in range(dataset.id.get_num_chunks()):
        place = dataset.id.get_chunk_info(i).chunk_offset
        _, stored = dataset.id.read_direct_chunk(place)
        if dataset.compression:
            stored = zlib.decompressobj().decompress(stored, expected + 1)
        if len(stored) != expected:
            raise ValueError(f"{dataset.name} has a chunk of a size other than {expected} bytes")


def _inside(parent: h5py.Group, name: str, kind: type) -> Any:
    if not isinstance(parent.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{name} is a link to another place")
    node = parent[name]
    if not isinstance(node, kind):
        raise ValueError(f"{name} is not a {kind.__name__}")
    return node
