"""An ONNX file, for ONNX Runtime and every other reader of that format."""

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
from keras_resnet.export.source import Source

__all__ = ["check_runtime", "runner", "write"]

Array = np.ndarray[Any, Any]
OPSET = 18  # of 2022: the newest that tf2onnx writes, and one that every current runtime reads
PACKAGES = {name: name for name in ("onnx", "onnxruntime", "tf2onnx")}


def check_runtime(name: str = "onnx") -> None:
    """Raises ValueError, which names the format, if a package that the format needs is missing."""
    require(name, PACKAGES, "onnx")


def write(source: Source, path: Path) -> None:
    """Writes a file from `images` to `probabilities`, `logits` and `features`, for any batch size.

    Shapes and dtypes are those of `from_pixels`.

    Raises:
        OSError: if the file cannot be written.
    """
    import onnx

    model = from_pixels(source.network, source.manifest)
    shape = (None, *source.manifest.image_shape)
    signature = [keras.InputSpec(dtype="float32", shape=shape, name="images")]
    with warnings.catch_warnings(), writing(path):
        warnings.filterwarnings("ignore", "In the future `np.object`", FutureWarning)
        model.export(
            str(path), format="onnx", input_signature=signature, opset_version=OPSET, verbose=False
        )
        content = onnx.load(path)
        for value in (*content.graph.input, *content.graph.output):
            # tf2onnx numbers unknown dimensions; they are all the same one.
            value.type.tensor_type.shape.dim[0].dim_param = "batch"
        content.graph.output.sort(key=lambda value: ORDER.index(value.name))
        onnx.checker.check_model(content, full_check=True)
        onnx.save(content, path)


def runner(path: Path, threads: int = 0) -> Callable[[Array], Array]:
    """Returns a function from float32 images of 0..255 to the float32 logits that a file computes.

    Args:
        path: what `write` wrote.
        threads: how many threads compute; 0 for one per core.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        path, sess_options=options, providers=["CPUExecutionProvider"]
    )

    def logits(images: Array) -> Array:
        return session.run(["logits"], {"images": images.astype(np.float32)})[0]

    return logits
