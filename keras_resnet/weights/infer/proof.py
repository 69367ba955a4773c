"""What names and shapes of weights prove about the architecture of their network.

Kernels show width and depth, and which blocks project. They do not show where the network strides,
how it pads and pools, or whether a block without a projection has a shortcut.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from keras_resnet.specs import (
    BRANCH_CONV,
    CHOICES,
    FINAL,
    LOGITS,
    PREACT,
    PROJECTION,
    STEM_CONV,
    Conv,
    Spec,
    is_norm,
    norm_of,
    pattern,
    stem_conv,
)
from keras_resnet.weights.formats.tensors import Tensor

__all__ = ["Proof", "check", "prove", "strided"]

CONVS = (pattern(f"{BRANCH_CONV}/kernel"), pattern(f"{PROJECTION}/kernel"))  # in a block
PREACT_NORM = pattern(norm_of(PREACT))
BIAS = f"{LOGITS}/bias"
DEEPEST = 1_000  # blocks; ResNet-1202 has 600
STAGES = 8
Block = tuple[int, int]  # stage and number


@dataclass(frozen=True)
class Proof:
    """Facts that names and shapes prove, for files of all sources."""

    stem: tuple[Conv, ...]  # kernels and filters; strides are unknown, and 1 here
    branch: tuple[Conv, ...]
    repeats: tuple[int, ...]
    shortcuts: tuple[str | None, ...]  # the options that fit the projections
    channels: int  # of an image
    classes: int | None  # None without a classifier
    preact: bool | None  # None if normalizations are folded
    stem_norm: bool | None

    def value(self, field: str) -> tuple[Any, ...]:
        """Returns the values that a field of the spec can have; () if nothing is known."""
        match field:
            case "branch" | "repeats":
                return (getattr(self, field),)
            case "preact" | "stem_norm":
                known = getattr(self, field)
                return () if known is None else (known,)
            case "shortcut":
                return self.shortcuts
            case "stride_on" if not any(row.kernel == 3 for row in self.branch):
                return ("first",)
            case _:
                return ()

    def allows(self, field: str, value: Any) -> bool:
        """Whether a field of the spec can have this value."""
        if field == "stem":
            return [row[:2] for row in value] == [row[:2] for row in self.stem]
        known = self.value(field)
        return not known or value in known

    def choices(self, field: str) -> tuple[Any, ...]:
        """Returns the values that an unknown field can have."""
        if field == "stem":
            return tuple(strided(self.stem, stride) for stride in (1, 2))
        return self.value(field) or CHOICES.get(field, (False, True))

    def matters(self, field: str, shortcut: str | None) -> bool:
        """Whether the network depends on a field."""
        match field:
            case "zero_channels":
                return shortcut == "A"
            case "stride_on":
                return self.branch[0].kernel != 3 and len(self.repeats) > 1
            case "stride_block":
                return len(self.repeats) > 1
            case _:
                return True


def strided(stem: tuple[Conv, ...], stride: int) -> tuple[Conv, ...]:
    """Returns a stem in which only the first convolution has this stride."""
    return tuple(Conv(*row[:2], 1 if i else stride) for i, row in enumerate(stem))


def prove(tensors: Mapping[str, Tensor], options: Collection[str | None]) -> Proof:
    """Returns what weights prove about their network.

    Args:
        tensors: by our names; kernels are [height, width, channels, filters].
        options: the shortcuts of the networks of the source.

    Raises:
        ValueError: if they are not weights of a residual network.
    """
    stem = _convs(tensors, STEM_CONV)
    if not stem:
        raise ValueError("it has no stem convolution")
    branch = _branch(tensors, stem[-1].filters)
    layers = {name.rpartition("/")[0] for name in tensors}
    folded = not any(is_norm(layer) for layer in layers)
    preact = any(PREACT_NORM.fullmatch(layer) or layer == norm_of(FINAL) for layer in layers)
    return Proof(
        stem=tuple(stem),
        branch=branch,
        repeats=_repeats(tensors),
        shortcuts=_shortcuts(tensors, branch, options),
        channels=tensors[f"{stem_conv(1)}/kernel"].shape[2],
        classes=tensors[BIAS].shape[0] if BIAS in tensors else None,
        preact=None if folded else preact,
        stem_norm=None if folded else f"{norm_of(stem_conv(1))}/gamma" in tensors or not preact,
    )


def _convs(tensors: Mapping[str, Tensor], template: str, **place: int) -> list[Conv]:
    """Returns the convolutions whose names follow a template, counted from 1."""
    rows: list[Conv] = []
    while kernel := tensors.get(f"{template.format(**place, conv=len(rows) + 1)}/kernel"):
        name = template.format(**place, conv=len(rows) + 1)
        if len(kernel.shape) != 4 or kernel.shape[0] != kernel.shape[1] or not kernel.size:
            raise ValueError(f"{name} has a kernel of shape {kernel.shape}")
        if kernel.shape[0] % 2 == 0:
            raise ValueError(f"kernels must have odd sizes, {name} has {kernel.shape}")
        rows.append(Conv(kernel.shape[0], kernel.shape[3]))
    return rows


def _branch(tensors: Mapping[str, Tensor], width: int) -> tuple[Conv, ...]:
    rows = _convs(tensors, BRANCH_CONV, stage=1, block=1)
    if not rows or not width or any(row.filters % width for row in rows):
        raise ValueError(f"its first block has convolutions {rows} after a stem of {width} filters")
    return tuple(Conv(row.kernel, row.filters // width) for row in rows)


def _blocks(tensors: Mapping[str, Tensor]) -> set[Block]:
    found = (conv.fullmatch(name) for name in tensors for conv in CONVS)
    return {(int(match["stage"]), int(match["block"])) for match in found if match}


def _repeats(tensors: Mapping[str, Tensor]) -> tuple[int, ...]:
    blocks = _blocks(tensors)
    stages = max(stage for stage, _ in blocks)
    if len(blocks) > DEEPEST or stages > STAGES:
        raise ValueError(f"it has {len(blocks)} blocks and {stages} stages")
    repeats = tuple(sum(stage == each for each, _ in blocks) for stage in range(1, stages + 1))
    expected = {(s, b) for s, count in enumerate(repeats, 1) for b in range(1, count + 1)}
    if blocks != expected:
        raise ValueError(
            f"its stages have gaps: missing are the blocks {sorted(expected - blocks)[:5]}"
        )
    return repeats


def _shortcuts(
    tensors: Mapping[str, Tensor], branch: tuple[Conv, ...], options: Collection[str | None]
) -> tuple[str | None, ...]:
    """Returns the options with which exactly these blocks project."""
    blocks = _blocks(tensors)
    projecting = {
        (stage, number)
        for stage, number in blocks
        if f"{PROJECTION.format(stage=stage, block=number)}/kernel" in tensors
    }
    widening = {
        (stage, number)
        for stage, number in blocks
        if number == 1 and (stage > 1 or branch[-1].filters > 1)
    }
    by_option: dict[str | None, set[Block]] = {
        "A": set(),
        "B": widening,
        "C": blocks,
        "D": widening,
        None: set(),
    }
    found = tuple(option for option in by_option if by_option[option] == projecting)
    if not found:
        raise ValueError(
            f"its blocks {sorted(projecting)[:5]} project: neither none, all, nor those that widen"
        )
    return tuple(option for option in found if option in options)


def check(tensors: Mapping[str, Tensor], spec: Spec) -> None:
    """Compares the kernels in a file with a spec, before a network is built from it.

    Raises:
        ValueError: naming the first convolution that is missing or has another shape.
    """
    for i, row in enumerate(spec.stem, 1):
        _check_filters(tensors, stem_conv(i), row.kernel, row.filters)
    for place in spec.places():
        for i, row in enumerate(spec.branch, 1):
            _check_filters(tensors, place.conv(i), row.kernel, place.width * row.filters)
    if BIAS in tensors:
        kernel = tensors[f"{LOGITS}/kernel"].shape
        bias = tensors[BIAS].shape
        features = place.width * spec.branch[-1].filters
        if kernel != (features, *bias) or len(bias) != 1:
            raise ValueError(
                f"its classifier has kernel {kernel} and bias {bias}, for {features} features"
            )


def _check_filters(tensors: Mapping[str, Tensor], name: str, kernel: int, filters: int) -> None:
    tensor = tensors.get(f"{name}/kernel")
    shape = tensor.shape if tensor else None
    if shape is None or len(shape) != 4 or (shape[0], shape[3]) != (kernel, filters):
        raise ValueError(
            f"{name} should have {filters} filters of {kernel}x{kernel}, but has shape {shape}"
        )
