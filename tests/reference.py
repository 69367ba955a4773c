"""Residual networks in numpy, written from the papers: the oracle of test_variants.py.

arXiv:1512.03385 (v1, options A to C), arXiv:1603.05027 (v2), arXiv:1812.01187 (D: average
pooling before the projection, as timm's `downsample_avg`), Caffe (pooling that rounds up),
fb.resnet.torch (symmetric padding, epsilon 1e-5).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def pad(x: Array, before: int, after: int, value: float = 0.0) -> Array:
    edges = [(0, 0), (before, after), (before, after), (0, 0)]
    return np.pad(x, edges, constant_values=value)


def windows(x: Array, kernel: int, stride: int, dilation: int = 1) -> list[Array]:
    """Returns for each pixel of the kernel what it sees; all of them inside the image."""
    ends = [(size - dilation * (kernel - 1) - 1) // stride * stride + 1 for size in x.shape[1:3]]
    offsets = [(i * dilation, j * dilation) for i in range(kernel) for j in range(kernel)]
    return [x[:, i : i + ends[0] : stride, j : j + ends[1] : stride] for i, j in offsets]


def conv(x: Array, weights: Array, stride: int = 1, dilation: int = 1) -> Array:
    kernel = len(weights)
    edge = dilation * (kernel // 2)
    seen = windows(pad(x, edge, edge), kernel, stride, dilation)
    return sum(s @ w for s, w in zip(seen, weights.reshape(-1, *weights.shape[2:]), strict=True))


def max_pool(x: Array, rule: str) -> Array:
    before, after = {"symmetric": (1, 1), "ceil": (0, 1)}[rule]
    return np.max(windows(pad(x, before, after, -np.inf), 3, 2), axis=0)


def average_pool(x: Array, stride: int) -> Array:
    """2x2; at the far edge only the pixels that exist count, as with count_include_pad=False."""
    pixels = windows(pad(x, 0, 1), 2, stride)
    exist = windows(pad(np.ones_like(x), 0, 1), 2, stride)
    return sum(pixels) / sum(exist)


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


@dataclass
class Network:
    """Computes the endpoints from weights {"stage1_block1_conv1": [...], ..._bn: [...]}."""

    weights: dict[str, list[Array]]
    shortcut: str | None = "B"
    stem_strides: tuple[int, ...] = (2,)
    stem_pool: str | None = "symmetric"
    strided: int = 0
    preact: bool = False
    around: bool = False

    def conv(self, x: Array, name: str, stride: int = 1) -> Array:
        return conv(x, *self.weights[name], stride)

    def norm(self, x: Array, name: str) -> Array:
        gamma, beta, mean, variance = self.weights[f"{name}_bn"]
        return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta

    def endpoints(self, x: Array, repeats: tuple[int, ...]) -> dict[str, Array]:
        for i, stride in enumerate(self.stem_strides, 1):
            x = relu(self.norm(self.conv(x, f"stem_conv{i}", stride), f"stem_conv{i}"))
        if self.stem_pool:
            x = max_pool(x, self.stem_pool)
        result = {"stem": x}
        for stage, blocks in enumerate(repeats, 1):
            for number in range(1, blocks + 1):
                stride = 2 if stage > 1 and number == 1 else 1
                x = self.block(x, f"stage{stage}_block{number}", stride)
            result[f"stage{stage}"] = x
        if self.preact:
            result[f"stage{stage}"] = relu(self.norm(x, "final"))
        return result

    def block(self, x: Array, name: str, stride: int) -> Array:
        if self.preact:
            return self.block_v2(x, name, stride)
        y, names = x, self.branch(name)
        for i, conv_name in enumerate(names):
            y = self.norm(self.conv(y, conv_name, stride if i == self.strided else 1), conv_name)
            y = relu(y) if i < len(names) - 1 else y
        return relu(y + self.around_branch(x, name, stride, y.shape[-1]))

    def block_v2(self, x: Array, name: str, stride: int) -> Array:
        """BN and ReLU before each convolution; the stem has activated the first input."""
        first = name == "stage1_block1"
        activated = x if first else relu(self.norm(x, f"{name}_preact"))
        y, names = activated, self.branch(name)
        for i, conv_name in enumerate(names):
            y = self.conv(y, conv_name, stride if i == self.strided else 1)
            y = relu(self.norm(y, conv_name)) if i < len(names) - 1 else y
        changes = stride > 1 or x.shape[-1] != y.shape[-1] or self.shortcut == "C"
        source = activated if changes else x
        return y + self.around_branch(source, name, stride, y.shape[-1])

    def branch(self, name: str) -> list[str]:
        return sorted(key for key in self.weights if key.startswith(f"{name}_conv") and
                      not key.endswith("_bn"))  # fmt: skip

    def around_branch(self, x: Array, name: str, stride: int, filters: int) -> Array:
        if self.shortcut is None:
            return np.zeros(1)
        if self.shortcut != "C" and stride == 1 and x.shape[-1] == filters:
            return x
        if self.shortcut == "A":
            missing = filters - x.shape[-1]
            before = missing // 2 if self.around else 0
            channels = [(0, 0)] * 3 + [(before, missing - before)]
            return np.pad(x[:, ::stride, ::stride], channels)
        if self.shortcut == "D" and stride > 1:
            x, stride = average_pool(x, stride), 1
        x = self.conv(x, f"{name}_shortcut_conv", stride)
        return x if self.preact else self.norm(x, f"{name}_shortcut_conv")
