"""Weights in files: `.weights.h5` and `.keras`, each with its manifest inside."""

import os
import zipfile
from pathlib import Path

import h5py
import keras

from keras_resnet import specs
from keras_resnet.manifest import Manifest
from keras_resnet.specs import Spec

SUFFIXES = (".weights.h5", ".keras")
ENTRY = "keras_resnet.json"
# Fields that weights do not depend on; Keras itself compares the shape of the classifier.
FREE = ("zero_gamma", "stochastic_depth", "output_stride", "image_size", "classes")


def save(model: keras.Model, path: str | os.PathLike[str], manifest: Manifest) -> None:
    """Writes a file that `load` and Keras read; a crash leaves the old file or the new one."""
    final = _checked(path)
    partial = final.with_name(f".partial.{final.name}")
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


def load(model: keras.Model, path: str | os.PathLike[str], spec: Spec | None = None) -> None:
    """Fills all weights of `model` from a file of exactly that network.

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
    try:
        model.load_weights(file)
    except Exception as error:  # Keras, h5py and zipfile raise a dozen kinds
        raise ValueError(f"{file} does not hold the weights of {model.name}: {error}") from error


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
    file = Path(path)
    if not file.name.endswith(SUFFIXES):
        raise ValueError(
            f"weights are files that end in {' or '.join(SUFFIXES)}, got {str(path)!r}"
        )
    if exists and not file.is_file():
        raise ValueError(f"there is no file of weights at {str(path)!r}")
    return file
