"""OpenVINO's two files, for Intel's processors: the graph in XML and the weights in binary."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_resnet.export.files import writing
from keras_resnet.export.head import ORDER
from keras_resnet.export.packages import require
from keras_resnet.export.pixels import from_pixels
from keras_resnet.manifest import Manifest

Array = np.ndarray[Any, Any]


def check_runtime(name: str = "openvino") -> None:
    """Raises ValueError if OpenVINO is not installed."""
    require(name, {"openvino": "openvino"}, "openvino")


def _openvino() -> ModuleType:
    """Imports OpenVINO without what tells its makers of each import and conversion."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def write(network: keras.Model, manifest: Manifest, file: Path) -> None:
    """Writes `file`, an .xml, and the .bin beside it.

    From `images` to `probabilities`, `logits` and `features`, of any batch size, in float32.

    Raises:
        OSError: if there is no room.
    """
    openvino = _openvino()
    model = from_pixels(network, manifest)
    spec = tf.TensorSpec([None, *manifest.image_shape], tf.float32, name="images")
    function = tf.function(lambda images: model(images, training=False), input_signature=[spec])
    file.parent.mkdir(parents=True, exist_ok=True)
    converted = openvino.convert_model(function)
    results = {name: each for each in converted.get_results() for name in each.output(0).names}
    ordered = [results[name] for name in ORDER if name in results]
    converted = openvino.Model(ordered, converted.get_parameters(), manifest.network)
    with writing(file):
        try:
            openvino.save_model(converted, file, compress_to_fp16=False)
        except RuntimeError as error:  # "basic_ios::clear", which does not say why
            raise OSError(
                f"OpenVINO could not write all of it ({error}); is the disk full?"
            ) from error


def runner(file: Path, threads: int = 0) -> Callable[[Array], Array]:
    """Returns what maps float32 images of 0..255 to the logits that a file computes.

    In float32, where OpenVINO by itself would take bfloat16 if the processor has it.

    Args:
        file: the .xml that `write` wrote.
        threads: how many compute; 0 leaves it to OpenVINO.
    """
    core = _openvino().Core()
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    model = core.compile_model(file, "CPU", options)

    def logits(images: Array) -> Array:
        return model(images.astype(np.float32))["logits"]

    return logits
