"""ResNets of Caffe and of Detectron: assembled byte by byte, computed by Torch."""

import struct
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional

EPSILON = 1e-5


class Layer(NamedTuple):
    """A convolution and its normalization, or a classifier without one."""

    kernel: np.ndarray  # out, in, height, width
    bias: np.ndarray | None = None
    norm: tuple[np.ndarray, ...] = ()  # mean, variance, gamma, beta


class Place(NamedTuple):
    stage: int  # 2 to 5, as they count
    block: int  # from 0
    part: str  # branch1, branch2a, branch2b, branch2c


Net = dict[Place | str, Layer]


def build(repeats: tuple[int, ...], *, width: int, classes: int, bias: bool = True) -> Net:
    """Random numbers; some variances are as small as epsilon, so that another one would show."""
    random = np.random.default_rng(0)

    def layer(*shape: int, normed: bool = True) -> Layer:
        kernel = random.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape).astype("float32")
        if not normed:
            return Layer(kernel, random.normal(size=shape[0]).astype("float32"))
        variance = 10 ** random.uniform(-6, 0, shape[0])
        gamma = random.uniform(0.3, 1, shape[0]) * np.sqrt(variance + EPSILON)
        mean, beta = random.normal(0, 0.3, (2, shape[0]))
        return Layer(kernel, None, tuple(map(np.float32, (mean, variance, gamma, beta))))

    stem = layer(width, 3, 7, 7)
    if bias:
        stem = stem._replace(bias=random.normal(size=width).astype("float32"))
    net: Net = {"conv1": stem}
    before = width
    for stage, blocks in enumerate(repeats, 2):
        inner = width << (stage - 2)
        for block in range(blocks):
            if block == 0:
                net[Place(stage, block, "branch1")] = layer(4 * inner, before, 1, 1)
            net[Place(stage, block, "branch2a")] = layer(inner, before, 1, 1)
            net[Place(stage, block, "branch2b")] = layer(inner, inner, 3, 3)
            net[Place(stage, block, "branch2c")] = layer(4 * inner, inner, 1, 1)
            before = 4 * inner
    return {**net, "fc1000": layer(classes, before, normed=False)}


def computed(net: Net, images: np.ndarray, *, ceil: bool, epsilon: float = EPSILON) -> np.ndarray:
    """ResNet v1, arXiv:1512.03385, from images [batch, height, width, BGR]."""

    def conv(x: torch.Tensor, place: Place | str, stride: int = 1) -> torch.Tensor:
        layer = net[place]
        kernel, bias = torch.tensor(layer.kernel), layer.bias
        bias = None if bias is None else torch.tensor(bias)
        x = functional.conv2d(x, kernel, bias, stride, kernel.shape[-1] // 2)
        return functional.batch_norm(x, *map(torch.tensor, layer.norm), eps=epsilon)

    x = conv(torch.tensor(images.transpose(0, 3, 1, 2)), "conv1", 2).relu()
    x = functional.max_pool2d(x, 3, 2, padding=0 if ceil else 1, ceil_mode=ceil)
    for stage, block, part in [place for place in net if isinstance(place, Place)]:
        if part != "branch2a":
            continue
        stride = 2 if stage > 2 and block == 0 else 1
        y = conv(x, Place(stage, block, "branch2a"), stride).relu()
        y = conv(y, Place(stage, block, "branch2b")).relu()
        y = conv(y, Place(stage, block, "branch2c"))
        x = (y + (conv(x, Place(stage, block, "branch1"), stride) if block == 0 else x)).relu()
    kernel, bias = torch.tensor(net["fc1000"].kernel), torch.tensor(net["fc1000"].bias)
    return functional.linear(x.mean((2, 3)), kernel, bias).numpy()


def message(number: int, content: bytes) -> bytes:
    """One field of Protocol Buffers that has a length; strings and packed numbers have one too."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def integer(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def varint(value: int) -> bytes:
    groups = [value >> shift & 127 for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes([*(group | 128 for group in groups[:-1]), groups[-1]])


def blob(array: np.ndarray, *, legacy: bool = False) -> bytes:
    """BlobProto: num, channels, height, width (1 to 4) or shape (7); data (5) and diff (6)."""
    if legacy:
        dims = (1,) * (4 - array.ndim) + array.shape
        shape = b"".join(integer(i, dim) for i, dim in enumerate(dims, 1))
    else:
        shape = message(7, message(1, b"".join(map(varint, array.shape))))
    data = np.ascontiguousarray(array, "<f4").tobytes()
    gradient = message(6, b"\0" * len(data)) if array.size < 100 else b""
    return message(5, data) + gradient + shape


def layer(name: str, kind: str, *arrays: np.ndarray, legacy: bool = False) -> bytes:
    """LayerParameter: name (1), type (2), bottom (3), top (4), param (6), blobs (7)."""
    head = message(1, name.encode()) + message(2, kind.encode())
    wired = message(3, b"data") + message(4, name.encode()) + message(6, integer(1, 1))
    blobs = [message(7, blob(array, legacy=legacy)) for array in arrays]
    return message(100, head + wired + b"".join(blobs))


def caffe_name(place: Place, numbered: tuple[int, ...]) -> str:
    block = f"b{place.block}" if place.stage in numbered and place.block else "abcdef"[place.block]
    return f"{place.stage}{block}_{place.part}"


def caffemodel(net: Net, numbered: tuple[int, ...] = (), factor=999.5, legacy=False) -> bytes:
    """NetParameter: name (1), layer (100); `numbered` stages call their blocks a, b1, b2, ..."""
    layers = [message(1, b"ResNet"), layer("data", "Input")]
    for place, (kernel, bias, norm) in net.items():
        name = caffe_name(place, numbered) if isinstance(place, Place) else f"_{place}"
        conv = f"res{name}" if isinstance(place, Place) else place
        arrays = [kernel] if bias is None else [kernel, bias]
        kind = "Convolution" if norm else "InnerProduct"
        layers.append(layer(conv, kind, *arrays, legacy=legacy))
        if norm:
            mean, variance, gamma, beta = norm
            sums = (mean * (factor or 1), variance * (factor or 1), np.float32([factor]))
            layers.append(layer(f"bn{name}", "BatchNorm", *sums, legacy=legacy))
            layers.append(layer(f"scale{name}", "Scale", gamma, beta, legacy=legacy))
            layers.append(layer(f"{conv}_relu", "ReLU"))
    return b"".join(layers)


def detectron(net: Net) -> tuple[dict[str, np.ndarray], Net]:
    """Returns Detectron's blobs, and the network that its scales and shifts make of `net`."""
    blobs, folded = {}, {}
    for place, one in net.items():
        name = place if isinstance(place, str) else f"res{place.stage}_{place.block}_{place.part}"
        blobs[f"{name}_w"], folded[place] = one.kernel, one
        if one.bias is not None:
            blobs[f"{name}_b"] = one.bias
        if one.norm:
            mean, variance, gamma, beta = one.norm
            scale = gamma / np.sqrt(variance + np.float32(EPSILON))
            shift = beta - mean * scale
            norm = f"{'res_' if place == 'conv1' else ''}{name}_bn"
            blobs |= {f"{norm}_s": scale, f"{norm}_b": shift}
            folded[place] = one._replace(norm=(0 * mean, 0 * mean + 1, scale, shift))
    return blobs, folded


def by_python2(blobs: dict[str, np.ndarray]) -> bytes:
    """The opcodes of Python 2.7: names and numbers are strings of bytes."""

    def text(value: str) -> bytes:
        return b"U" + bytes([len(value)]) + value.encode()  # SHORT_BINSTRING

    def array(value: np.ndarray) -> bytes:
        data = value.tobytes()
        dtype = b"cnumpy\ndtype\n(" + text("f4") + b"K\0K\1tR(K\3" + text("<")
        dtype += b"NNN" + 2 * b"J\xff\xff\xff\xff" + b"K\0tb"
        empty = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\0\x85U\x01btR"
        shape = b"(" + b"".join(b"M" + struct.pack("<H", n) for n in value.shape) + b"t"
        content = b"T" + struct.pack("<i", len(data)) + data  # BINSTRING
        return empty + b"(K\1" + shape + dtype + b"\x89" + content + b"tb"

    items = b"".join(text(name) + array(value) for name, value in blobs.items())
    return b"\x80\x02}q\x01" + text("blobs") + b"}q\x02(" + items + b"us."
