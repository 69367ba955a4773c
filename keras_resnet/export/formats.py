"""Every format in which a network can leave the house, and how near it has to stay."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import keras

from keras_resnet.export import onnx, openvino, saved_model, tflite, warmup
from keras_resnet.export.report import Array, Bound, Runner
from keras_resnet.manifest import Manifest


@dataclass(frozen=True)
class Source:
    """What files are written from: a folded network in float32, and what is known of it."""

    network: keras.Model  # from normalized pixels to logits
    manifest: Manifest  # with the activation that follows the logits
    endpoints: dict[str, str]  # feature maps, and the layers whose outputs they are
    calibration: Array | None = None  # images of 0..255, for int8
    tflite_features: bool = False  # pooled features as another output of TFLite files


@dataclass(frozen=True)
class Format:
    """How a format is written and run, with the bound that it has to keep."""

    file: str  # inside the directory of the export; empty for the directory itself
    write: Callable[[Source, Path], None]
    runner: Callable[..., Runner]  # of a path; all but the SavedModel's take a number of threads
    check_runtime: Callable[[str], None]  # of its name; raises ValueError if a package is missing
    bound: Bound
    bytes: int = 4  # of a weight
    calibrated: bool = False  # by images, unless the network was trained to round
    rounds: bool = False  # can hold a network that was


# Folding BN into convolutions rounds differently, layer after layer; float32 allows no less.
EXACT = Bound(1e-4, agreement=99.5)
# Of the others, what the noise of 8, 11 and again 8 bits leaves after some hundred layers.
BFLOAT16 = Bound(0.5, sqnr=20, agreement=97)
FLOAT16 = Bound(0.05, sqnr=40, agreement=99)
INT8 = Bound(0.5, sqnr=10, agreement=95)


def _saved_model(source: Source, path: Path) -> None:
    saved_model.write(source.network, source.manifest, source.endpoints, path)


def _tflite(file: str, kind: str, bound: Bound, **options: Any) -> Format:
    def write(source: Source, path: Path) -> None:
        images = source.calibration if kind == "int8" else None
        features = source.tflite_features
        tflite.write(source.network, source.manifest, path, kind, images, features=features)

    return Format(file, write, tflite.runner, tflite.check_runtime, bound, **options)


def _other(file: str, module: ModuleType) -> Format:
    def write(source: Source, path: Path) -> None:
        module.write(source.network, source.manifest, path)

    return Format(file, write, module.runner, module.check_runtime, EXACT)


FORMATS = {
    "saved_model": Format(
        "", _saved_model, saved_model.runner, warmup.check_runtime, EXACT, rounds=True
    ),
    "tflite": _tflite("model.tflite", "float32", EXACT),
    "tflite_fp16": _tflite("model_fp16.tflite", "float16", FLOAT16, bytes=2),
    "tflite_dynamic": _tflite("model_dynamic.tflite", "dynamic", INT8, bytes=1),
    "tflite_int8": _tflite(
        "model_int8.tflite", "int8", INT8, bytes=1, calibrated=True, rounds=True
    ),
    "onnx": _other("model.onnx", onnx),
    "openvino": _other("openvino/model.xml", openvino),
}
