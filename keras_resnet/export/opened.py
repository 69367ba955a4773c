"""Opens an export again: the function that its runtime computes, and what `model.json` says."""

import json
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_resnet.export.formats import FORMATS
from keras_resnet.export.packages import require
from keras_resnet.export.report import Runner
from keras_resnet.manifest import Manifest
from keras_resnet.preprocessing.decoding import errors

__all__ = ["ABOUT", "SAVED_MODEL", "Opened", "described", "names_export", "opened"]

ABOUT = "model.json"  # beside every file of an export
SAVED_MODEL = "saved_model.pb"
# Files by their suffix: the extra that installs the runtime, its module, and its package.
RUNTIMES = {
    ".tflite": ("serving", "ai_edge_litert", "ai-edge-litert"),
    ".onnx": ("onnx", "onnxruntime", "onnxruntime"),
    ".xml": ("openvino", "openvino", "openvino"),
}


@dataclass(frozen=True)
class Opened:
    """An export that can compute.

    Attributes:
        path: of the file, or of the directory of a SavedModel.
        manifest: of its network.
        run: maps float32 images [n, height, width, channels] of 0..255, resized, to logits.
    """

    path: Path
    manifest: Manifest
    run: Runner


def names_export(path: Path) -> bool:
    """Whether a path is that of an export and not of weights: a directory, or by its suffix."""
    return path.is_dir() or path.suffix in RUNTIMES


def opened(path: Path) -> Opened:
    """Opens a file of an export, or a directory with a SavedModel or one such file.

    Args:
        path: what `keras_resnet.export` wrote: the directory, or a `.tflite`, `.onnx` or OpenVINO
            `.xml` file in it.

    Raises:
        ValueError: for anything else, if `model.json` is missing or invalid, and if the runtime is
            not installed.
    """
    path = _file(path)
    _, _, manifest = described(path)
    if path.suffix in RUNTIMES:
        extra, module, package = RUNTIMES[path.suffix]
        require(path.name, {module: package}, extra)
    suffix = "" if path.is_dir() else path.suffix
    by_suffix = {Path(chosen.file).suffix: chosen for chosen in FORMATS.values()}
    try:
        run = by_suffix[suffix].runner(path)
    except Exception as error:  # each runtime has errors of its own
        raise ValueError(f"{path} cannot be opened: {errors.message(error)}") from error
    return Opened(path, manifest, partial(_logits, path, run))


def _logits(path: Path, run: Runner, images: Any) -> Any:
    try:
        return run(images)
    except (RuntimeError, KeyError, tf.errors.OpError) as error:
        raise ValueError(f"{path} cannot compute: {errors.message(error)}") from error


def _file(path: Path) -> Path:
    """Returns the file to run in a directory; the directory itself of a SavedModel."""
    if not path.is_dir() or (path / SAVED_MODEL).is_file():
        return path
    found = [path / chosen.file for chosen in FORMATS.values() if chosen.file]
    found = [file for file in found if file.is_file()]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"{path} has several files: give one of {', '.join(map(str, found))}")
    return path  # which has no `model.json`, either


def _versions(path: Path) -> str:
    """Returns a hint at the newest version of an export in a folder, or ""."""
    places = (file.parent for file in path.glob(f"*/{ABOUT}"))
    versions = sorted(places, key=lambda place: (len(place.name), place.name))  # 10 after 9
    return f", such as {versions[-1]}" if versions else ""


def described(path: Path) -> tuple[Path, dict[str, Any], Manifest]:
    """Returns the directory of an export, the content of its `model.json`, and the manifest in it.

    Args:
        path: a file of the export, or the directory.

    Raises:
        ValueError: if there is no valid `model.json`.
    """
    if not path.exists():
        raise ValueError(f"no such file: {path}")
    folders = [path] if path.is_dir() else [path.parent, path.parent.parent]
    file = next((folder / ABOUT for folder in folders if (folder / ABOUT).is_file()), None)
    if file is None:
        where = "in" if path.is_dir() else "beside"
        raise ValueError(
            f"{path} has no model.json {where} it, which says what its pixels and classes are: give"
            f" what `python -m keras_resnet.export` wrote{_versions(path)}"
        )
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        names = {each.name for each in fields(Manifest)}
        told = Manifest.from_dict({name: values[name] for name in values if name in names})
        return file.parent, values, told
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{file} is not that of an export: {error}") from error
