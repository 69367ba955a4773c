"""Networks of torchvision and timm with random weights and random statistics: the other side."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import timm
import torch
import torchvision.models.resnet as torchvision
from safetensors.torch import load_file, save_file


def build(network: str, **arguments: Any) -> torch.nn.Module:
    """Builds "torchvision.resnet50" or "timm.resnet50d"; no number in it is an initializer's."""
    package, name = network.split(".")
    make = getattr(torchvision, name) if package == "torchvision" else None
    net = make(weights=None, **arguments) if make else timm.create_model(name, **arguments)
    torch.manual_seed(0)
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if tensor.ndim != 1:
                continue
            positive = name.endswith(("running_var", "weight"))
            tensor.uniform_(0.5, 1.5) if positive else tensor.uniform_(-0.5, 0.5)
    return net.eval()


def save(net: torch.nn.Module, file: Path) -> Path:
    """Writes a state dict in the format of the file's ending; `.old` is that before Torch 1.6."""
    state = net.state_dict()
    if file.suffix == ".safetensors":
        save_file(state, file, metadata={"format": "pt"})
    else:
        torch.save(state, file, _use_new_zipfile_serialization=file.suffix != ".old")
    return file


def nchw(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def logits(net: torch.nn.Module, images: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return net(nchw(images)).numpy()


def error(found: Any, expected: np.ndarray) -> float:
    """The largest difference, relative to the largest number."""
    return float(np.abs(np.asarray(found) - expected).max() / np.abs(expected).max())


def their_gradients(net: torch.nn.Module, images: np.ndarray, names: list[str]) -> list[np.ndarray]:
    """Gradients of the mean square of the logits; kernels as height, width, in, out."""
    net.zero_grad()
    net(nchw(images)).square().mean().backward()
    found = [net.get_parameter(name).grad.numpy() for name in names]
    return [grad.transpose(2, 3, 1, 0) if grad.ndim == 4 else grad for grad in found]


def our_gradients(model: keras.Model, images: np.ndarray, names: list[str]) -> list[np.ndarray]:
    by_path = {variable.path: variable.value for variable in model.trainable_variables}
    variables = [by_path[name] for name in names]
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(model(images, training=False)))
    return [np.asarray(grad) for grad in tape.gradient(loss, variables)]


__all__ = ["build", "error", "load_file", "logits", "our_gradients", "save", "their_gradients"]


def published_hashes() -> set[str]:
    """Returns the beginnings of the SHA-256 of torchvision's ResNets, from its own addresses."""
    kinds = [kind for name, kind in vars(torchvision).items() if name.endswith("_Weights")]
    urls = [weights.url for kind in kinds for weights in kind]
    return {url.rpartition("-")[2].partition(".")[0] for url in urls}
