"""An ONNX file, for ONNX Runtime and whatever else reads that format."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_resnet.export.files import writing
from keras_resnet.export.head import ORDER
from keras_resnet.export.packages import require
from keras_resnet.export.pixels import from_pixels
from keras_resnet.manifest import Manifest

Array = np.ndarray[Any, Any]
OPSET = 18  # of 2022: the newest that tf2onnx writes, and every runtime of today reads it
PACKAGES = {name: name for name in ("onnx", "onnxruntime", "tf2onnx")}


def check_runtime(name: str = "onnx") -> None:
    """Raises ValueError if what writes, checks and runs the file is not installed."""
    require(name, PACKAGES, "onnx")


def write(network: keras.Model, manifest: Manifest, file: Path) -> None:
    """Writes a file from `images` to `probabilities`, `logits` and `features`, of any batch.

    Raises:
        OSError: if there is no room.
    """
    import onnx

    model = from_pixels(network, manifest)
    shape = (None, *manifest.image_shape)
    signature = [keras.InputSpec(dtype="float32", shape=shape, name="images")]
    with warnings.catch_warnings(), writing(file):
        warnings.filterwarnings("ignore", "In the future `np.object`", FutureWarning)
        model.export(
            str(file), format="onnx", input_signature=signature, opset_version=OPSET, verbose=False
        )
        content = onnx.load(file)
        for value in (*content.graph.input, *content.graph.output):
            value.type.tensor_type.shape.dim[0].dim_param = "batch"  # it was counted
        content.graph.output.sort(key=lambda value: ORDER.index(value.name))
        onnx.checker.check_model(content, full_check=True)
        onnx.save(content, file)


def runner(file: Path, threads: int = 0) -> Callable[[Array], Array]:
    """Returns what maps float32 images of 0..255 to the logits that a file computes.

    Args:
        file: what `write` wrote.
        threads: how many compute; 0 for one a core.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        file, sess_options=options, providers=["CPUExecutionProvider"]
    )

    def logits(images: Array) -> Array:
        return session.run(["logits"], {"images": images.astype(np.float32)})[0]

    return logits
