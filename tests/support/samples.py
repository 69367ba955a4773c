"""Tiny files of weights in every format that the package reads."""

import pickle
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import h5py
import keras
import numpy as np

from keras_resnet import resnet, weights
from keras_resnet.manifest import Manifest
from keras_resnet.preprocessing import mode
from tests.support import variants

CIFAR = {"network": "resnet20", "repeats": (1, 1, 1), "stem": ((3, 4),), "classes": 10}
BOTTLENECK = {
    "network": "resnet50",
    "repeats": (1, 1),
    "stem": ((7, 4, 2),),
    "shortcut": "C",
    "classes": 10,
}
NETWORKS = {
    "keras_resnet": CIFAR,
    "akamaster": {**CIFAR, "zero_channels": "around"},
    "robinc94": {**CIFAR, "shortcut": "B", "padding": "same"},
    "mlcommons_tiny": {**CIFAR, "shortcut": "B", "padding": "same"},
    "torchvision": {**BOTTLENECK, "network": "resnet50_v1_5"},
    "detectron2": BOTTLENECK,
    "caffe": {**BOTTLENECK, "stem_pool": "ceil"},
}
VARIABLES = ("gamma", "beta", "moving_mean", "moving_variance")
PARTS = {
    "keras": ("/", {name: name for name in (*VARIABLES, "kernel", "bias")}),
    "torch": (
        ".",
        dict(zip(VARIABLES, ("weight", "bias", "running_mean", "running_var"), strict=True))
        | {"kernel": "weight", "bias": "bias"},
    ),
    "detectron2": ("_", {"gamma": "s", "beta": "b", "kernel": "w", "bias": "b"}),
    "caffe": (
        "/",
        {name: name.removeprefix("moving_") for name in VARIABLES}
        | {"kernel": "kernel", "bias": "bias"},
    ),
}


def build(source: str, **changes) -> keras.Model:
    """Builds the network of `arrays(source)` with other weights."""
    model = resnet(**{**NETWORKS[source], "classifier_activation": None, **changes})
    variants.randomize(model, seed=1)
    return model


def _layers(source: str) -> dict[str, str]:
    """Our layers to those of a source, in a network of one block a stage."""
    if source in ("akamaster", "torchvision"):
        head = "linear" if source == "akamaster" else "fc"
        names = {"stem_conv1": "conv1", "stem_conv1_bn": "bn1", "logits": head}
        for ours, stage in (("stage1", 1), ("stage2", 2), ("stage3", 3)):
            block = f"{ours}_block1_"
            for i in (1, 2, 3):
                names |= {f"{block}conv{i}": f"layer{stage}.0.conv{i}"}
                names |= {f"{block}conv{i}_bn": f"layer{stage}.0.bn{i}"}
            names |= {f"{block}shortcut_conv": f"layer{stage}.0.downsample.0"}
            names |= {f"{block}shortcut_conv_bn": f"layer{stage}.0.downsample.1"}
        return names
    if source in ("robinc94", "mlcommons_tiny"):
        return _counted(source == "robinc94")
    norm, head = ("{}_bn", "pred") if source == "detectron2" else ("{}", "fc1000")
    names = {"stem_conv1": "conv1", "logits": head}
    names["stem_conv1_bn"] = "res_conv1_bn" if source == "detectron2" else "conv1"
    for stage, place in ((1, "res2_0"), (2, "res3_0")):
        theirs = place if source == "detectron2" else f"res{stage + 1}a"
        for conv, end in zip(
            ("conv1", "conv2", "conv3", "shortcut_conv"),
            ("branch2a", "branch2b", "branch2c", "branch1"),
            strict=True,
        ):
            names[f"stage{stage}_block1_{conv}"] = f"{theirs}_{end}"
            names[f"stage{stage}_block1_{conv}_bn"] = norm.format(f"{theirs}_{end}")
    return names


def _counted(robinc94: bool) -> dict[str, str]:
    names = {"logits": "dense"}
    convs = ["stem_conv1", *(f"stage{s}_block1_conv{i}" for s in (1, 2, 3) for i in (1, 2))]
    for i, conv in enumerate(convs):
        names[conv] = f"conv{i + 1}"
        names[f"{conv}_bn"] = f"bn{i + 1}" if robinc94 else f"batch_normalization_{i}"
    if robinc94:
        shortcuts = {f"stage{s}_block1_shortcut_conv": f"shortcut{s - 1}" for s in (2, 3)}
        return names | shortcuts
    created = [*convs[:5], "stage2_block1_shortcut_conv", *convs[5:], "stage3_block1_shortcut_conv"]
    return names | {conv: f"conv2d_{i}" for i, conv in enumerate(created)}


@lru_cache
def arrays(source: str) -> dict[str, np.ndarray]:
    """Returns the weights of a tiny network under the names and in the layouts of a source."""
    return dict(_renamed(source))


def _renamed(source: str) -> Iterator[tuple[str, np.ndarray]]:
    model, layers = resnet(**NETWORKS[source]), _layers(source)
    variants.randomize(model)
    style = {"akamaster": "torch", "torchvision": "torch"}.get(source, source)
    separator, parts = PARTS.get(style, PARTS["keras"])
    axes = {4: (3, 2, 0, 1), 2: (1, 0)} if style in ("torch", "detectron2", "caffe") else {}
    for layer in model.layers:
        theirs = layers.get(layer.name)
        for weight in layer.weights if theirs else ():
            value = np.asarray(weight.value)
            if weight.name not in parts:
                continue
            if source == "caffe" and layer.name.endswith("_bn"):
                kind = "scale" if weight.name in ("gamma", "beta") else "bn"
                here = f"{kind}_conv1" if theirs == "conv1" else kind + theirs.removeprefix("res")
            else:
                here = theirs
            value = value.transpose(axes.get(value.ndim, range(value.ndim)))
            yield f"{here}{separator}{parts[weight.name]}", np.ascontiguousarray(value)


def manifest(**changes) -> Manifest:
    values = {
        "network": "resnet20",
        "image_shape": (32, 32, 3),
        "labels": tuple("abcdefghij"),
        "preprocessing": mode("torch", image_size=32, crop=0.9),
        "fields": {"repeats": [1, 1, 1], "stem": [[3, 4]]},
    }
    return Manifest(**{**values, **changes})


def native(file: Path, **changes) -> Path:
    weights.save(build("keras_resnet"), file, manifest(**changes))
    return file


def old_h5(file: Path) -> Path:
    with h5py.File(file, "w") as h5:
        for name, value in arrays("mlcommons_tiny").items():
            layer, _, variable = name.partition("/")
            h5[f"model_weights/{layer}/{layer}/{variable}:0"] = value
    return file


def npz(file: Path, *, compressed: bool = False) -> Path:
    (np.savez_compressed if compressed else np.savez)(file, **arrays("robinc94"))
    return file


def torch_file(file: Path, *, legacy: bool = False) -> Path:
    import torch

    state = {name: torch.tensor(value) for name, value in arrays("akamaster").items()}
    torch.save({"state_dict": state}, file, _use_new_zipfile_serialization=not legacy)
    return file


def safetensors(file: Path) -> Path:
    from safetensors.numpy import save_file

    save_file(arrays("torchvision"), file)
    return file


def pickled(file: Path, protocol: int = 2) -> Path:
    file.write_bytes(pickle.dumps({"blobs": arrays("detectron2")}, protocol))
    return file


def field(number: int, content: bytes | str) -> bytes:
    """A field of a protocol buffer that has a length."""
    content = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(number: int) -> bytes:
    more = bytearray()
    while number > 127:
        more.append(number & 127 | 128)
        number >>= 7
    return bytes([*more, number])


def blob(value: np.ndarray, shape: tuple[int, ...] | None = None) -> bytes:
    dims = b"".join(varint(size) for size in (value.shape if shape is None else shape))
    return field(5, value.astype("<f4").tobytes()) + field(7, field(1, dims))


def layer(name: str, kind: str, *blobs: bytes) -> bytes:
    return field(100, field(1, name) + field(2, kind) + b"".join(field(7, b) for b in blobs))


def caffemodel(file: Path) -> Path:
    found, layers = arrays("caffe"), {}
    for name in found:
        layers.setdefault(name.partition("/")[0], []).append(blob(found[name]))
    content = field(1, "ResNet")
    for name, blobs in layers.items():
        kind = "Convolution"
        if name.startswith("bn"):
            kind = "BatchNorm"
            blobs.append(blob(np.ones(1)))
        elif name.startswith(("scale", "fc")):
            kind = "Scale" if name.startswith("scale") else "InnerProduct"
        content += layer(name, kind, *blobs)
    file.write_bytes(content)
    return file


# File names to what writes them, and whose names they have.
FORMATS = {
    "a.keras": (native, "keras_resnet"),
    "a.weights.h5": (native, "keras_resnet"),
    "old.h5": (old_h5, "mlcommons_tiny"),
    "plain.npz": (npz, "robinc94"),
    "small.npz": (lambda file: npz(file, compressed=True), "robinc94"),
    "new.pth": (torch_file, "akamaster"),
    "old.pth": (lambda file: torch_file(file, legacy=True), "akamaster"),
    "a.safetensors": (safetensors, "torchvision"),
    "a.caffemodel": (caffemodel, "caffe"),
    "a.pkl": (pickled, "detectron2"),
}
