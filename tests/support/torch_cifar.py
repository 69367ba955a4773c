"""The CIFAR networks of arXiv:1512.03385 in PyTorch, written from the paper: plain and option A."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):
    def __init__(self, channels: int, filters: int, shortcut: str | None) -> None:
        super().__init__()
        self.stride = 2 if channels != filters else 1
        self.missing = filters - channels
        self.shortcut = shortcut
        self.conv1 = nn.Conv2d(channels, filters, 3, self.stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        if self.shortcut is None:
            return functional.relu(y)
        half = self.missing // 2
        zeros = {"after": (0, self.missing), "around": (half, self.missing - half)}[self.shortcut]
        same = x[:, :, :: self.stride, :: self.stride]
        return functional.relu(y + functional.pad(same, (0, 0, 0, 0, *zeros)))


class Network(nn.Module):
    """`shortcut` is None for a plain network, or where option A puts its zero channels."""

    def __init__(self, repeats: int, shortcut: str | None, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        channels = 16
        for stage, filters in enumerate((16, 32, 64), 1):
            blocks = []
            for _ in range(repeats):
                blocks.append(Block(channels, filters, shortcut))
                channels = filters
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        self.fc = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean((2, 3)))

    def filled(self, state: dict[str, np.ndarray | Tensor]) -> "Network":
        """Loads a state dict; the weights alone decide, also statistics."""
        tensors = {name: torch.as_tensor(value) for name, value in state.items()}
        missing, left = self.load_state_dict(tensors, strict=False)
        assert not left
        assert all(name.endswith("num_batches_tracked") for name in missing)
        return self.eval()


def akamaster(file: Path, repeats: int) -> Network:
    """Reads a file of akamaster, whose classifier is named `linear`."""
    state = torch.load(file, map_location="cpu", weights_only=True)["state_dict"]
    names = {name: name.removeprefix("module.").replace("linear", "fc") for name in state}
    return Network(repeats, "around").filled({names[n]: tensor for n, tensor in state.items()})


def ours(name: str) -> str:
    """Returns the name in this package of a convolution `layer1.0.conv1` or block `layer1.0`."""
    if name == "conv1":
        return "stem_conv1"
    stage, number, *rest = name.removeprefix("layer").split(".")
    return "_".join([f"stage{stage}", f"block{int(number) + 1}", *rest])
