"""timm's ResNets of 10 to 200 layers, also D and wide (v1.5), from `.safetensors` or `.pth`.

The names are those of torchvision, with a deep stem in `conv1.0`, `.3`, `.6` and, in D, a shortcut
that pools in `downsample.0` and projects in `.1`. `config.json`, which the hub stores beside a
file, states how images were resized, cropped and normalized.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from keras_resnet.preprocessing import MODES, Preprocessing
from keras_resnet.specs import PROJECTION, norm_of, stem_conv
from keras_resnet.weights.formats.containers import Container
from keras_resnet.weights.infer.proof import Proof
from keras_resnet.weights.sources import torchvision
from keras_resnet.weights.sources.source import (
    TORCH,
    TORCH_PADDING,
    NameMap,
    Renames,
    Source,
    Traits,
    imagenet,
)

DEEP_STEM = {
    "conv1.0": stem_conv(1),
    "conv1.1": norm_of(stem_conv(1)),
    "conv1.3": stem_conv(2),
    "conv1.4": norm_of(stem_conv(2)),
    "conv1.6": stem_conv(3),
    "bn1": norm_of(stem_conv(3)),
}
POOLED_SHORTCUT = {
    "layer{stage}.{block}.downsample.1": PROJECTION,
    "layer{stage}.{block}.downsample.2": norm_of(PROJECTION),
}
ARCHITECTURES = r"(tv_)?(wide_)?resnet\d+[cdst]?(_2)?"


def names(*, deep: bool, pooled: bool) -> NameMap:
    """Returns the mapping of names for a deep stem or not, and for shortcuts that pool or not."""
    stem = DEEP_STEM if deep else torchvision.STEM
    shortcut = POOLED_SHORTCUT if pooled else torchvision.SHORTCUT
    layers = stem | torchvision.BRANCH | shortcut | torchvision.CLASSIFIER
    return NameMap(layers, TORCH, ".", block=1)


def rename(found: Collection[str]) -> Renames:
    return names(deep="conv1.0.weight" in found, pooled=_pools(found))(found)


def _pools(found: Collection[str]) -> bool:
    return any(".downsample.2." in name for name in found)


def traits(file: Container, proof: Proof) -> Traits:
    stated: dict[str, Any] = {}
    if set(proof.shortcuts) & {"B", "D"}:  # distinguished by the names of projections
        stated["shortcut"] = "D" if _pools(file.tensors) else "B"
    found = usual(file, proof)._replace(stated=stated)
    if not file.config:
        return found
    architecture = file.config.get("architecture", "resnet50")
    if not isinstance(architecture, str) or not re.fullmatch(ARCHITECTURES, architecture):
        raise ValueError(f"its architecture {architecture!r} is not a network of this family")
    told = file.config.get("pretrained_cfg") or file.config
    if not isinstance(told, dict):
        raise ValueError(f"its pretrained_cfg must be a dictionary, got {told!r}")
    classes = file.config.get("label_names")
    labels = tuple(map(str, classes)) if isinstance(classes, list) else ()
    preprocessing = _preprocessing(told)
    if preprocessing.channels not in (
        None,
        proof.channels,
    ):  # it describes an RGB network from which this one was made
        return found._replace(preprocessing=None, labels=labels, known=True)
    return found._replace(preprocessing=preprocessing, labels=labels, known=True)


def _preprocessing(config: Mapping[str, Any]) -> Preprocessing:
    """Reads the `pretrained_cfg`; missing entries are timm's defaults."""
    torch = MODES["torch"]
    if config.get("crop_mode", "center") != "center":
        raise ValueError(f"crop_mode must be 'center', got {config['crop_mode']!r}")
    match config.get("input_size", (3, 224, 224)):
        case [int(), int() as size, int() as width] if size == width:
            pass
        case other:
            raise ValueError(f"input_size must be [channels, size, size], got {other!r}")
    return Preprocessing(
        mean=255 * np.asarray(config["mean"]) if config.get("mean") else torch.mean,
        std=255 * np.asarray(config["std"]) if config.get("std") else torch.std,
        image_size=size,
        crop=config.get("crop_pct", 0.875),
        interpolation=config.get("interpolation", "bilinear"),
    )


STEMS = ((7,), (3, 3, 3))
usual = imagenet(TORCH_PADDING, _preprocessing({}), STEMS, stride_on="3x3")
SOURCE = Source("timm", rename, traits, options=("A", "B", "C", "D", None))
