"""Counts a network with arithmetic alone: from the tables of the papers, and from its spec."""

import re
from dataclasses import dataclass, field

from keras_resnet.specs import Spec
from tests.support import goldens

NAME = re.compile(r"(wide_)?(resnet|plain)(\d+)(_v1_5|_v2|_d|_2)?")
STEMS = {  # weights, pixels a side, and channels of the BN of each convolution
    "cifar": [(9 * 3 * 16, 32, 16)],
    "imagenet": [(49 * 3 * 64, 112, 64)],
    "deep": [(9 * 3 * 32, 112, 32), (9 * 32 * 32, 112, 32), (9 * 32 * 64, 112, 64)],
}


@dataclass
class Count:
    parameters: int = 0
    multiply_adds: int = 0
    additions: int = 0
    convolutions: int = 0
    channels: int = field(default=0, repr=False)

    def conv(self, weights: int, size: int, normed: int) -> None:
        self.parameters += weights + 2 * normed
        self.multiply_adds += weights * size * size
        self.convolutions += 1


def parse(network: str) -> tuple[bool, str, int, str]:
    """Returns wide, resnet or plain, the depth, and the suffix."""
    wide, kind, depth, suffix = NAME.fullmatch(network).groups()
    return bool(wide), kind, int(depth), suffix or ""


def blueprint(depth: int) -> tuple[tuple[int, ...], int]:
    """Returns the blocks of each stage and the convolutions of a block."""
    if depth in goldens.STAGES:
        return goldens.STAGES[depth]
    convs = 3 if depth in goldens.CIFAR_BOTTLENECK else 2
    return ((goldens.CIFAR_BASIC | goldens.CIFAR_BOTTLENECK)[depth],) * 3, convs


def count(network: str, shortcut: str | None) -> Count:
    """Counts one image of the published size."""
    wide, kind, depth, suffix = parse(network)
    repeats, convs = blueprint(depth)
    imagenet = depth in goldens.STAGES
    total = Count(channels=64 if imagenet else 16)
    for stem_conv in STEMS["deep" if suffix == "_d" else "imagenet" if imagenet else "cifar"]:
        total.conv(*stem_conv)
    size, width = (56, 64) if imagenet else (32, 16)
    late = imagenet and suffix != ""  # the stride stands on the 3x3
    for stage, blocks in enumerate(repeats):
        for number in range(blocks):
            before, size = size, size // 2 if stage and not number else size
            if suffix == "_v2" and stage + number:
                total.parameters += 2 * total.channels  # the BN before the paths part
            inner, outer = (
                width * 2**stage * times for times in (1 + wide, 4 if convs == 3 else 1)
            )
            sizes = (before if late else size, size)
            _block(total, inner, outer, sizes, suffix == "_v2", shortcut)
            total.additions += kind == "resnet"
    classes = 1000 if imagenet else 10
    total.parameters += 2 * total.channels * (suffix == "_v2")  # the last BN
    total.parameters += (total.channels + 1) * classes
    total.multiply_adds += total.channels * classes
    return total


def _block(
    total: Count, inner: int, outer: int, sizes: tuple[int, int], v2: bool, shortcut: str | None
) -> None:
    first, size = sizes
    last_normed = 0 if v2 else outer
    if inner == outer:  # basic
        total.conv(9 * total.channels * inner, size, inner)
        total.conv(9 * inner * outer, size, last_normed)
    else:
        total.conv(total.channels * inner, first, inner)
        total.conv(9 * inner * inner, size, inner)
        total.conv(inner * outer, size, last_normed)
    if shortcut == "C" or (shortcut in ("B", "D") and total.channels != outer):
        total.conv(total.channels * outer, size, last_normed)
    total.channels = outer


def walk(spec: Spec, image_size: int, classes: int) -> Count:
    """Counts one image of three channels by the fields of a spec, without building it."""
    total = Count(channels=3)
    size = image_size
    for kernel, filters, stride in spec.stem:
        size = -(-size // stride)
        total.conv(kernel**2 * total.channels * filters, size, filters)
        total.channels = filters
    size = -(-size // 2) if spec.stem_pool else size
    for stage, blocks in enumerate(spec.repeats):
        for number in range(blocks):
            before = size
            size = -(-size // 2) if stage and not number else size
            if spec.preact and stage + number:
                total.parameters += 2 * total.channels  # the BN before the paths part
            _walk_block(total, spec, spec.stem[-1].filters * 2**stage, (before, size))
    total.parameters += 2 * total.channels * spec.preact  # the last BN
    total.parameters += (total.channels + 1) * classes
    total.multiply_adds += total.channels * classes
    return total


def _walk_block(total: Count, spec: Spec, width: int, sizes: tuple[int, int]) -> None:
    before, size = sizes
    channels = total.channels
    for i, (kernel, times, _) in enumerate(spec.branch):
        outer = width * times
        last = i == len(spec.branch) - 1
        here = size if i >= spec.strided else before
        total.conv(kernel**2 * channels * outer, here, 0 if spec.preact and last else outer)
        channels = outer
    if spec.shortcut == "C" or (spec.shortcut in ("B", "D") and total.channels != channels):
        total.conv(total.channels * channels, size, 0 if spec.preact else channels)
    total.additions += spec.shortcut is not None
    total.channels = channels
