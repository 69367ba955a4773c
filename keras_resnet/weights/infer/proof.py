"""What the names and shapes of a network's weights prove of its architecture, and what they leave.

Kernels show how wide and how deep a network is and which blocks project. They do not show where it
strides, how it pads and pools, or whether a block without a projection has a shortcut at all.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from keras_resnet.specs import CHOICES, Conv, Spec
from keras_resnet.weights.formats.tensors import Tensor

BLOCK = re.compile(r"stage(\d+)_block(\d+)_(conv\d+|shortcut_conv)/kernel")
DEEPEST, STAGES = 1_000, 8  # blocks and stages; ResNet-1202 has 600 and 3
Block = tuple[int, int]  # stage and number


@dataclass(frozen=True)
class Proof:
    """What is certain of a file, whoever wrote it."""

    stem: tuple[Conv, ...]  # kernels and filters; the strides are not known, and 1 here
    branch: tuple[Conv, ...]
    repeats: tuple[int, ...]
    shortcuts: tuple[str | None, ...]  # the options that agree with the blocks that project
    channels: int  # of an image
    classes: int | None  # None without a classifier
    preact: bool | None  # None where normalizations are folded
    stem_norm: bool | None

    def value(self, field: str) -> tuple[Any, ...]:
        """Returns the values that a field of the spec can have, as far as this is known.

        Empty where nothing is.
        """
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
        """Returns what a field that nobody has settled can be."""
        if field == "stem":
            return tuple(strided(self.stem, stride) for stride in (1, 2))
        return self.value(field) or CHOICES.get(field, (False, True))

    def matters(self, field: str, shortcut: str | None) -> bool:
        """Whether another value of a field would make another network."""
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
    """Returns a stem whose first convolution strides, and no other."""
    return tuple(Conv(*row[:2], 1 if i else stride) for i, row in enumerate(stem))


def prove(tensors: Mapping[str, Tensor], options: Collection[str | None]) -> Proof:
    """Reads off the weights, by our names, what they prove.

    Args:
        tensors: kernels as height, width, channels, filters.
        options: the shortcuts that whoever wrote the file has.

    Raises:
        ValueError: if these are not the weights of a residual network.
    """
    stem = _convs(tensors, "stem")
    if not stem:
        raise ValueError("it has no convolution that could be the stem")
    branch = _branch(tensors, stem[-1].filters)
    folded = not any("_bn/" in name for name in tensors)
    preact = any("_preact_bn/" in name or name.startswith("final_bn/") for name in tensors)
    return Proof(
        stem=tuple(stem),
        branch=branch,
        repeats=_repeats(tensors),
        shortcuts=_shortcuts(tensors, branch, options),
        channels=tensors["stem_conv1/kernel"].shape[2],
        classes=tensors["logits/bias"].shape[0] if "logits/bias" in tensors else None,
        preact=None if folded else preact,
        stem_norm=None if folded else "stem_conv1_bn/gamma" in tensors or not preact,
    )


def _convs(tensors: Mapping[str, Tensor], place: str) -> list[Conv]:
    rows: list[Conv] = []
    while kernel := tensors.get(f"{place}_conv{len(rows) + 1}/kernel"):
        if len(kernel.shape) != 4 or kernel.shape[0] != kernel.shape[1] or not kernel.size:
            raise ValueError(f"{place}_conv{len(rows) + 1} has a kernel of shape {kernel.shape}")
        if kernel.shape[0] % 2 == 0:
            raise ValueError(f"networks have odd kernels, and its {place} one of {kernel.shape}")
        rows.append(Conv(kernel.shape[0], kernel.shape[3]))
    return rows


def _branch(tensors: Mapping[str, Tensor], width: int) -> tuple[Conv, ...]:
    rows = _convs(tensors, "stage1_block1")
    if not rows or not width or any(row.filters % width for row in rows):
        raise ValueError(f"its first block has the convolutions {rows}, after {width} filters")
    return tuple(Conv(row.kernel, row.filters // width) for row in rows)


def _blocks(tensors: Mapping[str, Tensor]) -> set[Block]:
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


def _shortcuts(
    tensors: Mapping[str, Tensor], branch: tuple[Conv, ...], options: Collection[str | None]
) -> tuple[str | None, ...]:
    """Returns the options by which just these blocks project."""
    blocks = _blocks(tensors)
    projecting = {
        (stage, number)
        for stage, number in blocks
        if f"stage{stage}_block{number}_shortcut_conv/kernel" in tensors
    }
    widening = {
        (stage, number)
        for stage, number in blocks
        if number == 1 and (stage > 1 or branch[-1].filters > 1)
    }
    by_option: dict[str | None, set[Block]] = {
        "A": set(), "B": widening, "C": blocks, "D": widening, None: set(),
    }  # fmt: skip
    found = tuple(option for option in by_option if by_option[option] == projecting)
    if not found:
        raise ValueError(
            f"its blocks {sorted(projecting)[:5]} project: neither where widths change, nor all"
        )
    return tuple(option for option in found if option in options)


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
