"""Residual networks in numpy, written from the papers: the oracle of test_variants.py.

arXiv:1512.03385 (v1, options A to C), arXiv:1603.05027 (v2), arXiv:1812.01187 (D: average
pooling before the projection, as timm's `downsample_avg`), Caffe (pooling that rounds up),
fb.resnet.torch (symmetric padding, epsilon 1e-5), TensorFlow (SAME: the odd pixel of padding comes
after), keras.applications v2 (strides in the last block of a stage, a bias and no BN in the stem).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def pad(x: Array, before: int, after: int, value: float = 0.0) -> Array:
    edges = [(0, 0), (before, after), (before, after), (0, 0)]
    return np.pad(x, edges, constant_values=value)


def windows(x: Array, kernel: int, stride: int) -> list[Array]:
    """Returns for each pixel of the kernel what it sees; all of them inside the image."""
    ends = [(size - kernel) // stride * stride + 1 for size in x.shape[1:3]]
    offsets = [(i, j) for i in range(kernel) for j in range(kernel)]
    return [x[:, i : i + ends[0] : stride, j : j + ends[1] : stride] for i, j in offsets]


def same_edges(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's own words: out = ceil(in / stride), and as much padding as that needs."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def conv(x: Array, weights: Array, stride: int = 1, *, same: bool = False) -> Array:
    kernel = len(weights)
    edges = [(kernel // 2, kernel // 2)] * 2
    if same:
        edges = [same_edges(size, kernel, stride) for size in x.shape[1:3]]
    seen = windows(np.pad(x, [(0, 0), *edges, (0, 0)]), kernel, stride)
    return sum(s @ w for s, w in zip(seen, weights.reshape(-1, *weights.shape[2:]), strict=True))


def max_pool(x: Array, rule: str, padding: float) -> Array:
    before, after = {"symmetric": (1, 1), "ceil": (0, 1)}[rule]
    return np.max(windows(pad(x, before, after, padding), 3, 2), axis=0)


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
    last: bool = False  # of a stage strides, not the first of the next
    same: bool = False
    stem_norm: bool = True

    def conv(self, x: Array, name: str, stride: int = 1) -> Array:
        kernel, *bias = self.weights[name]
        return sum(bias, conv(x, kernel, stride, same=self.same))

    def norm(self, x: Array, name: str) -> Array:
        gamma, beta, mean, variance = self.weights[f"{name}_bn"]
        return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta

    def endpoints(self, x: Array, repeats: tuple[int, ...]) -> dict[str, Array]:
        for i, stride in enumerate(self.stem_strides, 1):
            x = self.conv(x, f"stem_conv{i}", stride)
            x = relu(self.norm(x, f"stem_conv{i}")) if self.stem_norm else x
        if self.stem_pool:
            # Where nothing has made x positive, keras.applications pads with zeros all the same.
            x = max_pool(x, self.stem_pool, -np.inf if self.stem_norm else 0)
        result = {"stem": x}
        for stage, blocks in enumerate(repeats, 1):
            for number in range(1, blocks + 1):
                strides = stage > 1 and number == 1
                if self.last:
                    strides = stage < len(repeats) and number == blocks
                stride = 2 if strides else 1
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
        """BN and ReLU before each convolution; the stem may have activated the first input."""
        done = self.stem_norm and name == "stage1_block1"
        activated = x if done else relu(self.norm(x, f"{name}_preact"))
        y, names = activated, self.branch(name)
        for i, conv_name in enumerate(names):
            y = self.conv(y, conv_name, stride if i == self.strided else 1)
            y = relu(self.norm(y, conv_name)) if i < len(names) - 1 else y
        changes = x.shape[-1] != y.shape[-1] or self.shortcut == "C"
        source = activated if changes else x
        return y + self.around_branch(source, name, stride, y.shape[-1])

    def branch(self, name: str) -> list[str]:
        return sorted(
            key
            for key in self.weights
            if key.startswith(f"{name}_conv") and not key.endswith("_bn")
        )

    def around_branch(self, x: Array, name: str, stride: int, filters: int) -> Array:
        if self.shortcut is None:
            return np.zeros(1)
        if self.shortcut != "C" and x.shape[-1] == filters:
            return x[:, ::stride, ::stride]
        if self.shortcut == "A":
            missing = filters - x.shape[-1]
            before = missing // 2 if self.around else 0
            channels = [(0, 0)] * 3 + [(before, missing - before)]
            return np.pad(x[:, ::stride, ::stride], channels)
        if self.shortcut == "D" and stride > 1:
            x, stride = average_pool(x, stride), 1
        x = self.conv(x, f"{name}_shortcut_conv", stride)
        return x if self.preact else self.norm(x, f"{name}_shortcut_conv")
