"""OpenVINO's two files, for Intel's processors: the graph in XML and the weights in binary."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import tensorflow as tf

from keras_resnet.export.files import writing
from keras_resnet.export.head import ORDER
from keras_resnet.export.packages import require
from keras_resnet.export.pixels import from_pixels
from keras_resnet.export.source import Source

__all__ = ["check_runtime", "runner", "write"]

Array = np.ndarray[Any, Any]


def check_runtime(name: str = "openvino") -> None:
    """Raises ValueError, which names the format, if OpenVINO is not installed."""
    require(name, {"openvino": "openvino"}, "openvino")


def _openvino() -> ModuleType:
    """Imports OpenVINO without its telemetry, which reports each import and conversion."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def write(source: Source, path: Path) -> None:
    """Writes `path`, an .xml file, and the .bin file beside it.

    From `images` to `probabilities`, `logits` and `features`, for any batch size, in float32;
    shapes are those of `from_pixels`.

    Raises:
        OSError: if the files cannot be written.
    """
    openvino = _openvino()
    manifest = source.manifest
    model = from_pixels(source.network, manifest)
    spec = tf.TensorSpec([None, *manifest.image_shape], tf.float32, name="images")
    function = tf.function(
        lambda images: model(images, training=False), input_signature=[spec], autograph=False
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    converted = openvino.convert_model(function)
    results = {name: each for each in converted.get_results() for name in each.output(0).names}
    ordered = [results[name] for name in ORDER if name in results]
    converted = openvino.Model(ordered, converted.get_parameters(), manifest.network)
    with writing(path):
        try:
            openvino.save_model(converted, path, compress_to_fp16=False)
        except RuntimeError as error:  # "basic_ios::clear", which does not tell the cause
            raise OSError(
                f"OpenVINO could not write all of it ({error}); is the disk full?"
            ) from error


def runner(path: Path, threads: int = 0) -> Callable[[Array], Array]:
    """Returns a function from float32 images of 0..255 to the float32 logits that a file computes.

    It computes in float32; OpenVINO's default is bfloat16 on processors that have it.

    Args:
        path: the .xml file that `write` wrote.
        threads: how many threads compute; 0 leaves it to OpenVINO.
    """
    core = _openvino().Core()
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    model = core.compile_model(path, "CPU", options)

    def logits(images: Array) -> Array:
        return model(images.astype(np.float32))["logits"]

    return logits
