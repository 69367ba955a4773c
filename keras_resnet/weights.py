"""Weights in files: `.weights.h5` and `.keras`, each with its manifest inside."""

import io
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from keras_resnet import specs
from keras_resnet.manifest import Manifest
from keras_resnet.specs import Spec

SUFFIXES = (".weights.h5", ".keras")
ENTRY = "keras_resnet.json"
Shapes = Mapping[str, Sequence[Any]]  # the weights of each layer, by its name
# Fields that weights do not depend on; the shape of the classifier is compared by itself.
FREE = ("zero_gamma", "stochastic_depth", "output_stride", "image_size", "classes")


def save(model: keras.Model, path: str | os.PathLike[str], manifest: Manifest) -> None:
    """Writes a file that `load` and Keras read; a crash leaves the old file or the new one."""
    final = _checked(path)
    partial = final.with_name(f".partial.{final.name}")
    try:
        if final.name.endswith(".keras"):
            model.save(partial)
            with zipfile.ZipFile(partial, "a") as archive:
                archive.writestr(ENTRY, manifest.to_json())
        else:
            model.save_weights(partial)
            with h5py.File(partial, "a") as file:
                # A data set and not an attribute, which cannot hold a mean image (64 KiB).
                file[ENTRY] = manifest.to_json()
        partial.replace(final)
    finally:
        partial.unlink(missing_ok=True)


def load(model: keras.Model, path: str | os.PathLike[str], spec: Spec | None = None) -> None:
    """Fills all weights of `model` from a file of exactly that network, or none.

    Layers are found by name. Keras itself goes by their order in the graph, which a dropped
    classifier, endpoints, dilation or stochastic depth change.

    Args:
        model: the network, with or without its classifier.
        path: a `.weights.h5` or `.keras` file.
        spec: what the model was built from; v1 and v1.5 have the same weights and mean others.

    Raises:
        ValueError: if the file is missing, damaged, or another network's.
    """
    file = _checked(path, exists=True)
    manifest = read_manifest(file)
    if spec and manifest:
        _check_spec(file, spec, specs.spec(manifest.network, **manifest.fields))
    layers = {layer.name: layer.weights for layer in model.layers if layer.weights}
    try:
        with _open_hdf5(file) as content:
            stored = _stored_layers(content)
            _check_shapes(layers, stored)
            values = {name: [np.array(data) for data in stored[name]] for name in layers}
    except (OSError, zipfile.BadZipFile, KeyError, AttributeError, ValueError) as error:
        raise ValueError(f"{file} does not hold the weights of {model.name}: {error}") from error
    for name, variables in layers.items():
        for variable, value in zip(variables, values[name], strict=True):
            variable.assign(value)


@contextmanager
def _open_hdf5(file: Path) -> Iterator[h5py.File]:
    """Opens the HDF5 file that both formats keep their weights in."""
    if file.name.endswith(".keras"):
        with zipfile.ZipFile(file) as archive, archive.open("model.weights.h5") as member:
            whole = io.BytesIO(member.read())  # checks the checksum, and is far faster to seek
        with h5py.File(whole) as content:
            yield content
    else:
        with h5py.File(file) as content:
            yield content


def _stored_layers(content: h5py.File) -> dict[str, list[h5py.Dataset]]:
    stored = {}
    for group in content["layers"].values():
        variables = group["vars"]
        if len(variables):
            stored[variables.attrs["name"]] = [variables[str(i)] for i in range(len(variables))]
    return stored


def _check_shapes(wanted: Shapes, stored: Shapes) -> None:
    missing = sorted(set(wanted) - set(stored))
    left_over = sorted(set(stored) - set(wanted) - {"logits"})
    if missing or left_over:
        raise ValueError(f"it lacks {missing[:5] or 'nothing'}, and holds also {left_over[:5]}")
    for name, variables in wanted.items():
        shapes, found = ([tuple(x.shape) for x in group] for group in (variables, stored[name]))
        if shapes != found:
            raise ValueError(f"{name} has shapes {found} there, {shapes} here")


def read_manifest(path: str | os.PathLike[str]) -> Manifest | None:
    """Reads what `save` wrote beside the weights; None for files that others wrote."""
    file = _checked(path, exists=True)
    try:
        if file.name.endswith(".keras"):
            with zipfile.ZipFile(file) as archive:
                found = ENTRY in archive.namelist()
                return Manifest.from_json(archive.read(ENTRY).decode()) if found else None
        with h5py.File(file) as weights:
            found = ENTRY in weights
            return Manifest.from_json(weights[ENTRY][()].decode()) if found else None
    except (OSError, zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file} is damaged: {error}") from error


def _check_spec(file: Path, wanted: Spec, held: Spec) -> None:
    differ = [
        f"{name}={getattr(held, name)!r} there, {getattr(wanted, name)!r} here"
        for name in specs.FIELDS
        if name not in FREE and getattr(held, name) != getattr(wanted, name)
    ]
    if differ:
        raise ValueError(f"{file} holds the weights of another network: {'; '.join(differ)}")


def _checked(path: str | os.PathLike[str], *, exists: bool = False) -> Path:
    file = Path(path).expanduser()  # a shell leaves the tilde of --weights=~/x alone
    if not file.name.endswith(SUFFIXES):
        raise ValueError(
            f"weights are files that end in {' or '.join(SUFFIXES)}, got {str(path)!r}"
        )
    if exists and not file.is_file():
        raise ValueError(f"there is no file of weights at {str(path)!r}")
    return file
