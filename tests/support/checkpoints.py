"""A tiny ResNet in PyTorch, and checkpoints of it as training scripts write them."""

import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from keras_resnet.weights.formats.containers import opened


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(4, 4, 3, bias=False), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = nn.Conv2d(4, 4, 3, bias=False), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class Net(nn.Module):
    """Has torchvision's names."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv1, self.bn1 = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)
        self.layer1, self.layer2 = nn.Sequential(Block(), Block()), nn.Sequential(Block())
        self.fc = nn.Linear(4, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.bn1(self.conv1(x)).mean((2, 3)))


def state(seed: int = 0, prefix: str = "") -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in _tensors(seed).items()}


@cache
def _tensors(seed: int) -> dict[str, torch.Tensor]:
    return Net(seed).state_dict()


@cache
def optimizer() -> dict[str, Any]:
    """The state of an optimizer that has taken a step."""
    net = Net()
    found = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    net(torch.ones(2, 3, 8, 8)).sum().backward()
    found.step()
    return found.state_dict()


def save(content: Any, file: Path, *, zipped: bool = True) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its typed storages are deprecated, and written
        torch.save(content, file, _use_new_zipfile_serialization=zipped)
    return file


def read(file: Path, prefix: str | None = None) -> dict[str, np.ndarray]:
    with opened(file, prefix) as container:
        return {name: tensor.read() for name, tensor in container.tensors.items()}


def same(found: Mapping[str, np.ndarray], expected: Mapping[str, torch.Tensor]) -> None:
    """Compares names, in any order, and numbers to the last bit."""
    assert sorted(found) == sorted(expected)
    for name, tensor in expected.items():
        np.testing.assert_array_equal(found[name], tensor.numpy(), err_msg=name)
