"""Writes weights: in our formats, with a manifest, or in the format of torchvision and timm."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np

from keras_resnet.manifest import Manifest
from keras_resnet.network import ResidualNetwork
from keras_resnet.rewrite.int8 import precision
from keras_resnet.specs import BASIC, BOTTLENECK, WIDE_BOTTLENECK, Spec, is_norm
from keras_resnet.weights.disk import replacing
from keras_resnet.weights.filling import variable_name
from keras_resnet.weights.sources import timm

__all__ = ["save"]

SUFFIXES = (".weights.h5", ".keras")
Format = Literal["keras_resnet", "torchvision"]
TORCH_AXES = {4: (3, 2, 0, 1), 2: (1, 0)}  # of kernels, by their rank


def save(
    model: keras.Model,
    path: str | os.PathLike[str],
    manifest: Manifest | None = None,
    *,
    as_: Format = "keras_resnet",
) -> None:
    """Writes the weights of a model; a crash leaves either the old file or the new one.

    Args:
        model: a network that this package built.
        path: ends in `.weights.h5` or `.keras`; with `as_="torchvision"` in `.safetensors`.
        manifest: to store with the weights; by default that of the model, which is not changed.
        as_: "keras_resnet", or "torchvision" for the names and layouts of torchvision and timm,
            which have v1.5 and D only; float32.

    Raises:
        TypeError: for a model that this package did not build, or another type of manifest.
        ValueError: for another suffix, a manifest that does not fit the model, or a network that
            torchvision and timm do not have.
        OSError: if the file cannot be written.
    """
    if as_ not in ("keras_resnet", "torchvision"):
        raise ValueError(f"as_ must be 'keras_resnet' or 'torchvision', got {as_!r}")
    if not isinstance(model, ResidualNetwork):
        raise TypeError(f"save needs a network that keras_resnet built, got {model!r}")
    suffixes = SUFFIXES if as_ == "keras_resnet" else (".safetensors",)
    final = Path(path).expanduser()
    if not final.name.endswith(suffixes):
        raise ValueError(
            f"a file of weights must end in {' or '.join(suffixes)}, got {str(path)!r}"
        )
    if isinstance(manifest, Manifest):
        manifest = replace(manifest, quantized=precision(model))
    model.check_manifest(manifest)
    with replacing(final) as partial, model.described(manifest):
        if as_ == "torchvision":
            _write_torch(model, partial)
        elif final.name.endswith(".keras"):
            model.save(partial)
        else:
            model.save_weights(partial)


def _write_torch(model: ResidualNetwork, path: Path) -> None:
    from safetensors.numpy import save_file

    spec = model.spec
    _check_torch(spec)
    names = timm.names(deep=len(spec.stem) > 1, pooled=spec.shortcut == "D")
    tensors: dict[str, np.ndarray[Any, Any]] = {}
    for layer in model.layers:
        for weight in layer.weights:
            name = names.weight(layer.name, variable_name(weight))
            value = np.asarray(keras.ops.convert_to_numpy(weight), np.float32)
            axes = TORCH_AXES.get(value.ndim, range(value.ndim))
            tensors[name] = np.ascontiguousarray(value.transpose(axes))
        if is_norm(layer.name):
            tensors[f"{names.layer(layer.name)}.num_batches_tracked"] = np.zeros((), np.int64)
    save_file(tensors, path, metadata={"format": "pt"})


def _check_torch(spec: Spec) -> None:
    computed = (
        spec.branch in (BASIC, BOTTLENECK, WIDE_BOTTLENECK)
        and spec.strided == len(spec.branch) - 2
        and spec.shortcut in ("B", "D")
        and not spec.preact
        and (len(spec.repeats), spec.stem_pool) == (4, "symmetric")
        and [row[::2] for row in spec.stem] in ([(7, 2)], [(3, 2), (3, 1), (3, 1)])
        and (spec.stride_block, spec.padding) == ("first", "symmetric")
    )
    if not computed:
        raise ValueError(
            "torchvision and timm have v1.5 and D: stride_on='3x3', shortcut='B' or 'D', a stem"
            f" of one 7x7 or three 3x3, four stages, symmetric padding, preact=False; got {spec}"
        )
