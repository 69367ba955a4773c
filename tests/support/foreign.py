"""Networks of ours as files of others: under torchvision's names, whatever they compute."""

import re
from pathlib import Path

import keras
import numpy as np

NORM = ("weight", "bias", "running_mean", "running_var")


def torch_name(layer: str) -> str:
    """Returns the name of a layer in a state dict; a stem of several convolutions is timm's."""
    if layer == "logits":
        return "fc"
    norm = layer.endswith("_bn")
    if re.fullmatch(r"stem_conv\d(_bn)?", layer):
        return "bn1" if norm else "conv1"
    stage, number, rest = re.fullmatch(r"stage(\d)_block(\d+)_(\w+?)(?:_bn)?", layer).groups()
    block = f"layer{stage}.{int(number) - 1}"
    if rest == "shortcut_conv":
        return f"{block}.downsample.{int(norm)}"
    return f"{block}.{'bn' if norm else 'conv'}{rest[-1]}"


def state(network: keras.Model) -> dict[str, np.ndarray]:
    """Returns what `state_dict` of the same network in PyTorch would."""
    found = {}
    for layer in network.layers:
        values = [np.asarray(value) for value in layer.get_weights()]
        if not values:
            continue
        name = torch_name(layer.name)
        if layer.name.endswith("_bn"):
            found |= {f"{name}.{part}": v for part, v in zip(NORM, values, strict=True)}
            continue
        axes = (3, 2, 0, 1) if values[0].ndim == 4 else (1, 0)
        found[f"{name}.weight"] = np.ascontiguousarray(values[0].transpose(axes))
        if len(values) > 1:
            found[f"{name}.bias"] = values[1]
    return found


def safetensors(network: keras.Model, file: Path) -> Path:
    from safetensors.numpy import save_file

    save_file(state(network), file)
    return file


def plain(network: keras.Model) -> keras.Model:
    """Returns the same layers as a model that only Keras knows, which says no spec."""
    return keras.Model(network.input, network.output)
