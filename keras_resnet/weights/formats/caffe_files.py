"""Reads `.caffemodel` and `.binaryproto` files of Caffe.

Field numbers: `caffe.proto` of BVLC/caffe. Only the fields of weights are declared; others are
skipped.
"""

import math
from functools import lru_cache
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from keras_resnet.weights.formats.tensors import Tensor, checked_shape

FIELD = descriptor_pb2.FieldDescriptorProto
# message: {field: (number, type, repeated)}; a capital type is another message.
MESSAGES: dict[str, dict[str, tuple[int, Any, bool]]] = {
    "BlobShape": {"dim": (1, FIELD.TYPE_INT64, True)},
    "BlobProto": {
        "num": (1, FIELD.TYPE_INT32, False),
        "channels": (2, FIELD.TYPE_INT32, False),
        "height": (3, FIELD.TYPE_INT32, False),
        "width": (4, FIELD.TYPE_INT32, False),
        "data": (5, FIELD.TYPE_FLOAT, True),
        "shape": (7, "BlobShape", False),
    },
    "LayerParameter": {
        "name": (1, FIELD.TYPE_STRING, False),
        "type": (2, FIELD.TYPE_STRING, False),
        "blobs": (7, "BlobProto", True),
    },
    "NetParameter": {
        "name": (1, FIELD.TYPE_STRING, False),
        "layer": (100, "LayerParameter", True),
    },
}
VARIABLES = {
    "Convolution": ("kernel", "bias"),
    "InnerProduct": ("kernel", "bias"),
    "Scale": ("gamma", "beta"),
}
KERNEL_RANKS = {"Convolution": 4, "InnerProduct": 2}


def read(content: bytes) -> dict[str, Tensor]:
    """Returns tensors by names such as "res2a_branch2a/kernel" or "bn2a_branch1/mean"."""
    tensors: dict[str, Tensor] = {}
    for layer in _parse("NetParameter", content).layer:
        if layer.type == "BatchNorm":
            tensors |= _statistics(layer)
        elif layer.blobs:
            names = VARIABLES.get(layer.type, ())
            for i, blob in enumerate(layer.blobs):
                variable = names[i] if i < len(names) else str(i)
                rank = KERNEL_RANKS.get(layer.type, 1) if i == 0 else 1
                tensors[f"{layer.name}/{variable}"] = _tensor(blob, rank)
    return tensors


def read_mean(content: bytes) -> np.ndarray[Any, Any]:
    """Returns a mean image [height, width, channels], BGR, of a `.binaryproto`."""
    array = _tensor(_parse("BlobProto", content), 3).read()
    return np.moveaxis(array, 0, -1)


def _statistics(layer: Any) -> dict[str, Tensor]:
    """Returns mean and variance; the file has sums over batches, and the divisor (0: no batch)."""
    if len(layer.blobs) != 3 or len(layer.blobs[2].data) != 1:
        raise ValueError(f"{layer.name} must have a mean, a variance and one divisor")
    weight = layer.blobs[2].data[0]
    scale = 1 / weight if weight else 0.0
    return {
        f"{layer.name}/{name}": _tensor(blob, 1, scale)
        for name, blob in zip(("mean", "variance"), layer.blobs, strict=False)
    }


def _tensor(blob: Any, rank: int, scale: float = 1.0) -> Tensor:
    """Returns a blob of this rank; before 2015 all blobs had rank 4, with leading sizes of 1."""
    legacy = [blob.num, blob.channels, blob.height, blob.width]
    shape = checked_shape(list(blob.shape.dim) if blob.HasField("shape") else legacy)
    if any(n != 1 for n in shape[:-rank]):
        raise ValueError(f"a blob of rank {rank} has shape {shape}")
    shape = shape[-rank:]
    if math.prod(shape) != len(blob.data):
        raise ValueError(f"a blob of shape {shape} has {len(blob.data)} numbers")
    data = np.array(blob.data, np.float32).reshape(shape) * np.float32(scale)
    return Tensor(shape, lambda: data)


def _parse(message: str, content: bytes) -> Any:
    from google.protobuf.message import DecodeError

    try:
        return _classes()[message].FromString(content)
    except DecodeError as error:
        raise ValueError(f"it is not a valid {message} of Caffe: {error}") from error


@lru_cache
def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="keras_resnet_caffe.proto", package="caffe")
    for message, fields in MESSAGES.items():
        described = file.message_type.add(name=message)
        for name, (number, kind, repeated) in fields.items():
            label = FIELD.LABEL_REPEATED if repeated else FIELD.LABEL_OPTIONAL
            field = described.field.add(name=name, number=number, label=label)
            field.type = FIELD.TYPE_MESSAGE if isinstance(kind, str) else kind
            if isinstance(kind, str):
                field.type_name = f".caffe.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"caffe.{name}"))
        for name in MESSAGES
    }
