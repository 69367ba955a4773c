"""Reads the architecture off the shapes of a network's weights, under our names."""

import re
from collections.abc import Mapping
from typing import Any

from keras_resnet.specs import Conv, Spec
from keras_resnet.weights.formats.tensors import Tensor

BLOCK = re.compile(r"stage(\d+)_block(\d+)_(conv\d+|shortcut_conv)/kernel")
DEEPEST, STAGES = 1_000, 8  # blocks and stages; ResNet-1202 has 600 and 3


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
        if len(kernel.shape) != 4 or kernel.shape[0] != kernel.shape[1] or not kernel.size:
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
    stages = max(stage for stage, _ in blocks)
    if len(blocks) > DEEPEST or stages > STAGES:
        raise ValueError(f"it has {len(blocks)} blocks and {stages} stages")
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


def check(tensors: Mapping[str, Tensor], spec: Spec) -> None:
    """Compares the filters of a file with those of a spec, so that no more is built than it holds.

    Raises:
        ValueError: naming the first convolution that is missing or other.
    """
    expected = [(f"stem_conv{i}", row.kernel, row.filters) for i, row in enumerate(spec.stem, 1)]
    for name, kernel, filters in expected:
        _check_filters(tensors, name, kernel, filters)
    for place in spec.places():
        for i, row in enumerate(spec.branch, 1):
            _check_filters(tensors, f"{place.name}_conv{i}", row.kernel, place.width * row.filters)
    if "logits/bias" in tensors:
        shapes = [tensors[f"logits/{part}"].shape for part in ("kernel", "bias")]
        features = place.width * spec.branch[-1].filters
        if shapes != [(features, spec.classes), (spec.classes,)]:
            raise ValueError(f"its classifier has shapes {shapes}, for {spec.classes} classes")


def _check_filters(tensors: Mapping[str, Tensor], name: str, kernel: int, filters: int) -> None:
    tensor = tensors.get(f"{name}/kernel")
    shape = tensor.shape if tensor else None
    if shape is None or len(shape) != 4 or (shape[0], shape[3]) != (kernel, filters):
        raise ValueError(
            f"{name} should have {filters} filters of {kernel}x{kernel}, and is {shape}"
        )
