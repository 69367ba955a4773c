"""The formats of an export, and how near to the network each of them has to stay.

The module of each format has three functions: `write(source, path)`, `runner(path)`, which returns
what computes logits with the file, and `check_runtime(name)`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from keras_resnet.export import onnx, openvino, saved_model, tflite
from keras_resnet.export.report import Bound, Runner
from keras_resnet.export.source import Source

__all__ = ["BFLOAT16", "FORMATS", "Format"]


@dataclass(frozen=True)
class Format:
    """How a format is written and run, and the bound that it has to keep.

    Args:
        file: path inside the directory of the export; empty for the directory itself.
        write: writes the file.
        runner: returns a function from float32 images of 0..255 to logits. It takes the path and,
            except for a SavedModel, `threads`.
        check_runtime: raises ValueError if a package is missing; it takes the format's name.
        bound: the largest deviation from the network that is allowed.
        bytes: per weight.
        calibrated: whether images have to show the ranges of activations, unless the network was
            trained to round.
        rounds: whether the format can hold a network that was trained to round.
    """

    file: str
    write: Callable[[Source, Path], None]
    runner: Callable[..., Runner]
    check_runtime: Callable[[str], None]
    bound: Bound
    bytes: int = 4
    calibrated: bool = False
    rounds: bool = False


# Folding batch normalization into convolutions rounds differently, layer after layer; in float32
# this is as near as it gets.
EXACT = Bound(1e-4, agreement=99.5)
# What remains after the noise of 8, 11 and 8 bits has passed some hundred layers.
BFLOAT16 = Bound(0.5, sqnr=20, agreement=97)
FLOAT16 = Bound(0.05, sqnr=40, agreement=99)
INT8 = Bound(0.5, sqnr=10, agreement=95)

FORMATS = {
    "saved_model": Format(
        "", saved_model.write, saved_model.runner, saved_model.check_runtime, EXACT, rounds=True
    ),
    "tflite": Format("model.tflite", tflite.write, tflite.runner, tflite.check_runtime, EXACT),
    "tflite_fp16": Format(
        "model_fp16.tflite",
        partial(tflite.write, kind="float16"),
        tflite.runner,
        tflite.check_runtime,
        FLOAT16,
        bytes=2,
    ),
    "tflite_dynamic": Format(
        "model_dynamic.tflite",
        partial(tflite.write, kind="dynamic"),
        tflite.runner,
        tflite.check_runtime,
        INT8,
        bytes=1,
    ),
    "tflite_int8": Format(
        "model_int8.tflite",
        partial(tflite.write, kind="int8"),
        tflite.runner,
        tflite.check_runtime,
        INT8,
        bytes=1,
        calibrated=True,
        rounds=True,
    ),
    "onnx": Format("model.onnx", onnx.write, onnx.runner, onnx.check_runtime, EXACT),
    "openvino": Format(
        "openvino/model.xml", openvino.write, openvino.runner, openvino.check_runtime, EXACT
    ),
}
