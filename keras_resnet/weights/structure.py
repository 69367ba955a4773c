"""Reads the architecture off the shapes of a network's weights, under our names."""

import re
from collections.abc import Mapping
from typing import Any

from keras_resnet.specs import Conv, Spec
from keras_resnet.weights.formats.tensors import Tensor

BLOCK = re.compile(r"stage(\d+)_block(\d+)_(conv\d+|shortcut_conv)/kernel")
DEEPEST = 10_000  # blocks; 600 are in ResNet-1202


def infer(tensors: Mapping[str, Tensor], traits: Mapping[str, Any]) -> Spec:
    """Returns the spec of a network from its weights.

    Args:
        tensors: by our names, kernels as height, width, channels, filters.
        traits: fields that shapes do not show; `shortcut` says what is where shapes differ.

    Raises:
        ValueError: if these are not the weights of a residual network.
    """
    stem = _convs(tensors, "stem")
    if not stem:
        raise ValueError("it has no convolution that could be the stem")
    cifar = len(stem) == 1 and stem[0].kernel == 3
    # ImageNet's stems stride in their first convolution, and pool.
    stem = [Conv(row.kernel, row.filters, 1 if cifar or i else 2) for i, row in enumerate(stem)]
    fields = {
        "stem": tuple(stem),
        "stem_pool": None if cifar else "symmetric",
        "branch": _branch(tensors, stem[-1].filters),
        "repeats": _repeats(tensors),
        "shortcut": _shortcut(tensors),
        "image_size": 32 if cifar else 224,
        "classes": tensors["logits/bias"].shape[0] if "logits/bias" in tensors else 1000,
    }
    return Spec(**{**fields, **traits})


def _convs(tensors: Mapping[str, Tensor], place: str) -> list[Conv]:
    rows: list[Conv] = []
    while kernel := tensors.get(f"{place}_conv{len(rows) + 1}/kernel"):
        if len(kernel.shape) != 4 or kernel.shape[0] != kernel.shape[1]:
            raise ValueError(f"{place}_conv{len(rows) + 1} has a kernel of shape {kernel.shape}")
        rows.append(Conv(kernel.shape[0], kernel.shape[3]))
    return rows


def _branch(tensors: Mapping[str, Tensor], width: int) -> tuple[Conv, ...]:
    rows = _convs(tensors, "stage1_block1")
    if not rows or not width or any(row.filters % width for row in rows):
        raise ValueError(f"its first block has the convolutions {rows}, after {width} filters")
    return tuple(Conv(row.kernel, row.filters // width) for row in rows)


def _blocks(tensors: Mapping[str, Tensor]) -> set[tuple[int, int]]:
    found = (BLOCK.fullmatch(name) for name in tensors)
    return {(int(match[1]), int(match[2])) for match in found if match}


def _repeats(tensors: Mapping[str, Tensor]) -> tuple[int, ...]:
    blocks = _blocks(tensors)
    if len(blocks) > DEEPEST:
        raise ValueError(f"it has {len(blocks)} blocks")
    stages = max(stage for stage, _ in blocks)
    repeats = tuple(sum(stage == each for each, _ in blocks) for stage in range(1, stages + 1))
    expected = {(s, b) for s, count in enumerate(repeats, 1) for b in range(1, count + 1)}
    if blocks != expected:
        raise ValueError(
            f"its stages have gaps: it lacks the blocks {sorted(expected - blocks)[:5]}"
        )
    return repeats


def _shortcut(tensors: Mapping[str, Tensor]) -> str:
    """Tells options A, B and C apart: no block projects, some blocks do, or all of them."""
    blocks = _blocks(tensors)
    projecting = {
        (stage, block)
        for stage, block in blocks
        if f"stage{stage}_block{block}_shortcut_conv/kernel" in tensors
    }
    if not projecting:
        return "A"
    return "C" if projecting == blocks else "B"
