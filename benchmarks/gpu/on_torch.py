"""The contestants on PyTorch: torchvision's ResNet v1.5, channels last, with the same weights."""

import re
import sys
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import torch

# Torchvision registers shapes for C++ operators that a CPU-only install may lack.
if not torch.cuda.is_available():
    sys.modules.setdefault("torchvision._meta_registrations", ModuleType("absent"))
from torchvision.models import resnet

from benchmarks.gpu.setting import (
    DECAY,
    LEARNING_RATE,
    MOMENTUM,
    Layers,
    Program,
    Setting,
    data,
)

__all__ = ["infer", "network", "train"]

FIRST = 3  # losses to compare
CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"


def network(layers: Layers, setting: Setting) -> torch.nn.Module:
    """Returns torchvision's network with the library's weights."""
    model = resnet.ResNet(resnet.Bottleneck, list(setting.repeats), setting.classes)
    state = {name: torch.tensor(value) for name, value in _state(layers)}
    counters = "num_batches_tracked"  # which the library does not have
    old = model.state_dict()
    model.load_state_dict(state | {k: v for k, v in old.items() if k.endswith(counters)})
    return model.to(DEVICE, memory_format=torch.channels_last)


def train(layers: Layers, setting: Setting, *, compiled: bool) -> Program:
    """Returns training steps with autocast, eager or by torch.compile."""
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    model = network(layers, setting).train()
    images, labels = _on_device(setting)
    optimizer = torch.optim.SGD(
        model.parameters(), LEARNING_RATE, MOMENTUM, weight_decay=DECAY, foreach=True
    )

    def loss() -> torch.Tensor:
        with torch.autocast(DEVICE, torch.bfloat16, enabled=setting.dtype != "float32"):
            return torch.nn.functional.cross_entropy(model(images), labels)

    forward = torch.compile(loss) if compiled else loss
    kept: dict[str, torch.Tensor] = {}

    def call() -> None:
        optimizer.zero_grad(set_to_none=True)
        kept["loss"] = forward()
        kept["loss"].backward()
        optimizer.step()

    def wait() -> float:
        return kept["loss"].item()

    def first() -> list[float]:
        losses = []
        for _ in range(FIRST):
            call()
            losses.append(wait())
        return losses

    losses, facts = _watched(first)
    return Program(call, wait, 1, {**facts, "first_losses": losses})


def infer(layers: Layers, setting: Setting) -> Program:
    """Returns compiled inference, with weights in the dtype of the activations."""
    dtype = getattr(torch, setting.dtype)
    model = network(layers, setting).eval().to(dtype)
    images = _on_device(setting)[0].to(dtype)
    forward = torch.compile(model)
    kept: dict[str, torch.Tensor] = {}

    @torch.inference_mode()
    def call() -> None:
        kept["logits"] = forward(images)

    def wait() -> float:
        return kept["logits"].float().mean().item()

    def first() -> list[float]:
        call()
        return [float(x) for x in kept["logits"][0, :FIRST]]

    logits, facts = _watched(first)
    return Program(call, wait, 1, {**facts, "first_logits": logits})


def _state(layers: Layers) -> Iterator[tuple[str, np.ndarray]]:
    """Yields torchvision's names and layouts of the library's weights."""
    for layer, weights in layers.items():
        name = re.sub(r"stage(\d)_block(\d+)_", _block, layer)
        name = name.replace("shortcut_conv_bn", "downsample.1")
        name = name.replace("shortcut_conv", "downsample.0")
        name = re.sub(r"conv(\d)_bn", r"bn\1", name.removeprefix("stem_"))
        name = name.replace("logits", "fc")
        parts = ("weight", "bias", "running_mean", "running_var")
        for part, weight in zip(parts, weights, strict=False):
            axes = (3, 2, 0, 1) if weight.ndim == 4 else None
            yield f"{name}.{part}", np.ascontiguousarray(np.transpose(weight, axes))


def _block(found: re.Match[str]) -> str:
    """Returns the first part of torchvision's names in a block; it counts blocks from 0."""
    return f"layer{found[1]}.{int(found[2]) - 1}."


def _on_device(setting: Setting) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = data(setting)
    x = torch.tensor(images).permute(0, 3, 1, 2).to(DEVICE, memory_format=torch.channels_last)
    return x, torch.tensor(labels, dtype=torch.int64, device=DEVICE)


def _watched(first: Callable[[], list[float]]) -> tuple[list[float], dict[str, Any]]:
    """Runs the first steps, in which Torch compiles and tries kernels; returns what they needed."""
    before = 0
    if CUDA:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    start = time.perf_counter()
    found = first()
    facts: dict[str, Any] = {"compile_s": round(time.perf_counter() - start, 1)}
    if CUDA:
        facts["memory_gb"] = round((torch.cuda.max_memory_allocated() - before) / 1e9, 3)
    return found, facts
