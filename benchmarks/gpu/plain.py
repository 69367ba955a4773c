"""ResNet v1.5 in plain JAX: a contestant without Keras, and the oracle of the test.

Written as JAX libraries usually do it: functions of dictionaries, explicit padding inside of the
convolution, and a variance that is the mean of squares less the square of the mean.
"""

import re
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from benchmarks.gpu.setting import Layers

__all__ = ["logits", "split"]

EPSILON = 1e-5
MOMENTUM = 0.9  # of the moving averages
NHWC = ("NHWC", "HWIO", "NHWC")

Tree = dict[str, Any]


def split(layers: Layers) -> tuple[Tree, Tree]:
    """Returns what is trained, and the moving averages, both by the name of the layer."""
    trainable = {name: [jnp.array(w) for w in layer[:2]] for name, layer in layers.items()}
    rest = {name: [jnp.array(w) for w in layer[2:]] for name, layer in layers.items() if layer[2:]}
    return trainable, rest


@dataclass(frozen=True)
class Pass:
    """One pass through the network; `moved` collects the new moving averages."""

    trainable: Tree
    rest: Tree
    training: bool
    moved: Tree = field(default_factory=dict)

    def conv(self, x: jax.Array, name: str, stride: int = 1) -> jax.Array:
        """Convolution with symmetric padding, and normalization."""
        kernel = self.trainable[name][0].astype(x.dtype)
        pad = kernel.shape[0] // 2
        x = lax.conv_general_dilated(
            x, kernel, (stride, stride), [(pad, pad)] * 2, dimension_numbers=NHWC
        )
        return self.norm(x, f"{name}_bn")

    def norm(self, inputs: jax.Array, name: str) -> jax.Array:
        gamma, beta = self.trainable[name]
        mean, variance = self.rest[name]
        x = inputs.astype(jnp.float32)
        if self.training:
            old = mean, variance
            mean = x.mean((0, 1, 2))
            variance = (x * x).mean((0, 1, 2)) - mean * mean
            self.moved[name] = [
                MOMENTUM * a + (1 - MOMENTUM) * b
                for a, b in zip(old, (mean, variance), strict=True)
            ]
        y = (x - mean) * (gamma * lax.rsqrt(variance + EPSILON)) + beta
        return y.astype(inputs.dtype)

    def block(self, x: jax.Array, name: str, stride: int) -> jax.Array:
        shortcut = x
        if f"{name}_shortcut_conv" in self.trainable:
            shortcut = self.conv(x, f"{name}_shortcut_conv", stride)
        x = jax.nn.relu(self.conv(x, f"{name}_conv1"))
        x = jax.nn.relu(self.conv(x, f"{name}_conv2", stride))
        return jax.nn.relu(self.conv(x, f"{name}_conv3") + shortcut)


def logits(trainable: Tree, rest: Tree, images: jax.Array, training: bool) -> tuple[Any, Tree]:
    """Returns the logits [batch, classes] in float32, and the new moving averages.

    Args:
        trainable: kernel of each convolution, gamma and beta of each normalization, and kernel and
            bias of `logits`, by the library's names.
        rest: mean and variance of each normalization.
        images: [batch, height, width, channels], in the dtype to compute in.
        training: whether batches are normalized by their own moments.
    """
    run = Pass(trainable, rest, training)
    x = jax.nn.relu(run.conv(images, "stem_conv1", 2))
    pad = [(0, 0), (1, 1), (1, 1), (0, 0)]
    x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), pad)
    names = {name[:-6] for name in trainable if re.fullmatch(r"stage\d_block\d+_conv1", name)}
    for name in sorted(names, key=lambda name: [int(n) for n in re.findall(r"\d+", name)]):
        strided = name.endswith("_block1") and not name.startswith("stage1")
        x = run.block(x, name, 2 if strided else 1)
    kernel, bias = trainable["logits"]
    features = x.astype(jnp.float32).mean((1, 2))
    return features @ kernel + bias, run.moved if training else rest
