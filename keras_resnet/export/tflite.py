"""TFLite files: pixels in, logits out; in 32 bits, in 16, and in 8 of two kinds.

Every file has two signatures, `serving_default` and `features`, takes batches of any size, and
holds each weight once.
"""

import importlib.util
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.lite.tools import flatbuffer_utils

from keras_resnet.export.pixels import from_pixels, rounds
from keras_resnet.manifest import Manifest
from keras_resnet.preprocessing import Preprocessing
from keras_resnet.quantization import FakeQuantize

Array = np.ndarray[Any, Any]
KINDS = ("float32", "float16", "dynamic", "int8")
SIGNATURES = {
    "serving_default": ("logits", "probabilities"),
    "features": ("features",),
}


def check_runtime() -> None:
    """Raises ValueError if the interpreter that checks the file is not installed."""
    if importlib.util.find_spec("ai_edge_litert") is None:
        raise ValueError("checking TFLite needs: pip install 'he-keras-resnet[serving]'")


def write(
    network: keras.Model,
    manifest: Manifest,
    file: Path,
    kind: str = "float32",
    calibration: Array | None = None,
) -> None:
    """Writes a file with the signatures `serving_default` and `features`.

    Args:
        network: folded, from normalized pixels to logits.
        manifest: the shape of images, and how they are normalized.
        file: what to write.
        kind: "float32"; "float16" and "dynamic" keep weights in 16 and in 8 bits and compute
            in 32; "int8" computes in integers from end to end. Its images are uint8, a level of
            grey a step; what it returns is float32, without `probabilities`.
        calibration: for "int8", images of 0..255 [n, height, width, channels] that show in which
            range each activation lies. Not for a network that was trained to round, and knows.

    Raises:
        ValueError: for an unknown kind, or "int8" of a network whose ranges are not known.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {KINDS}, got {kind!r}")
    trained, examples = rounds(network), None
    if kind == "int8" and not trained:
        if calibration is None:
            raise ValueError("int8 needs images that show the ranges of activations")
        examples = partial(_examples, calibration)
    normalize = partial(_rounding, manifest.scaling) if trained else None
    model = from_pixels(network, manifest, normalize)
    file.write_bytes(_in_order(_converted(model, kind, examples)))


def _converted(model: keras.Model, kind: str, examples: Callable[[], Any] | None) -> bytes:
    functions = {name: _function(model, name, kind) for name in SIGNATURES}
    served = tf.Module()
    # The variables themselves: of a Keras model the converter would take none, and say nothing.
    served.weights = [weight.value for weight in model.weights]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # TensorFlow warns of an interpreter that it uses itself.
        warnings.filterwarnings("ignore", r"\s*Warning: tf.lite.Interpreter", UserWarning)
        tf.saved_model.save(served, folder, signatures=functions)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, [*functions])
        if kind != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if kind == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if kind == "int8":
            converter.inference_input_type = tf.uint8
        if examples:
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.representative_dataset = examples
        return converter.convert()


def _function(model: keras.Model, signature: str, kind: str) -> Any:
    # A softmax in int8 has 256 steps from 0 to 1: too few to tell what is improbable.
    names = [name for name in SIGNATURES[signature] if (name, kind) != ("probabilities", "int8")]

    def answer(images: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = model(images, training=False)
        return {name: outputs[name] for name in names}

    return tf.function(answer, [tf.TensorSpec(model.input.shape, tf.float32, name="images")])


def _in_order(content: bytes) -> bytes:
    """Puts the graph of `serving_default` first: it answers those who ask for no signature.

    A tensor keeps one of the names of the operations that became one; all of them take as many
    bytes as the biases.
    """
    model = flatbuffer_utils.convert_bytearray_to_object(content)
    model.signatureDefs.sort(key=lambda each: [*SIGNATURES].index(each.signatureKey.decode()))
    model.subgraphs = [model.subgraphs[each.subgraphIndex] for each in model.signatureDefs]
    for i, (signature, graph) in enumerate(zip(model.signatureDefs, model.subgraphs, strict=True)):
        signature.subgraphIndex = i
        for tensor in graph.tensors:
            tensor.name = tensor.name.split(b";")[0]
        for port in (*signature.inputs, *signature.outputs):
            graph.tensors[port.tensorIndex].name = port.name
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _rounding(preprocessing: Preprocessing, images: Any) -> Any:
    """Normalizes with ranges: the network knows those behind its first layer only."""
    mean = np.asarray(preprocessing.mean)
    shift = replace(preprocessing, std=(1.0,), bgr=False)
    scale = replace(preprocessing, mean=(0.0,), bgr=False)
    shifted = shift.normalize(_rounded(images, 0, 255))
    if np.all(np.asarray(scale.std) == 1):
        return shifted  # the network's own range follows; two would contradict each other
    return scale.normalize(_rounded(shifted, min(0, -mean.max()), max(0, 255 - mean.min())))


def _rounded(inputs: Any, low: float, high: float) -> Any:
    layer = FakeQuantize()
    outputs = layer(inputs)
    layer.set_weights([np.array([low, high], np.float32)])
    return outputs


def _examples(images: Array) -> Iterator[tuple[str, dict[str, Array]]]:
    """Yields what calibrates each signature."""
    images = images.astype(np.float32)
    # The range of pixels becomes 0..255 exactly, and uint8 images enter without rounding.
    images[0, 0, 0, 0], images[0, -1, -1, 0] = 0, 255
    for signature in SIGNATURES:
        for image in images:
            yield signature, {"images": image[np.newaxis]}


def runner(file: Path, threads: int | None = None) -> Callable[[Array], Array]:
    """Returns what maps float32 images of 0..255 to the logits that a file computes.

    Args:
        file: what `write` wrote.
        threads: how many compute; None leaves it to LiteRT.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(file), num_threads=threads)
    run = interpreter.get_signature_runner("serving_default")
    dtype = run.get_input_details()["images"]["dtype"]

    def logits(images: Array) -> Array:
        if dtype == np.uint8:
            images = np.rint(images)  # where resizing has left fractions
        return run(images=images.astype(dtype))["logits"]

    return logits
