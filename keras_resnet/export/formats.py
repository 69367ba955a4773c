"""Every format in which a network can leave the house, and how near it has to stay."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras

from keras_resnet.export import saved_model, tflite, warmup
from keras_resnet.export.report import Array, Bound, Runner
from keras_resnet.manifest import Manifest


@dataclass(frozen=True)
class Source:
    """What files are written from: a folded network in float32, and what is known of it."""

    network: keras.Model  # from normalized pixels to logits
    manifest: Manifest
    endpoints: dict[str, str]  # feature maps, and the layers whose outputs they are
    calibration: Array | None = None  # images of 0..255, for int8


@dataclass(frozen=True)
class Format:
    """How a format is written and run, with the bound that it has to keep."""

    file: str  # inside the directory of the export; empty for the directory itself
    write: Callable[[Source, Path], None]
    runner: Callable[[Path], Runner]
    check_runtime: Callable[[], None]  # raises ValueError if something is not installed
    bound: Bound
    calibrated: bool = False


# Folding BN into convolutions rounds differently, layer after layer; float32 allows no less.
EXACT = Bound(1e-4, agreement=99.5)
BFLOAT16 = Bound(0.5, sqnr=20, agreement=97)


def _saved_model(source: Source, path: Path) -> None:
    saved_model.write(source.network, source.manifest, source.endpoints, path)


def _tflite(source: Source, path: Path) -> None:
    tflite.write(path.parent, path)


FORMATS = {
    "saved_model": Format("", _saved_model, saved_model.runner, warmup.check_runtime, EXACT),
    "tflite": Format("model.tflite", _tflite, tflite.runner, tflite.check_runtime, EXACT),
}
