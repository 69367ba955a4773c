"""TFLite files: pixels in, probabilities and logits out; in 32 bits, in 16, and in 8 of two kinds.

Every file has one graph, with the signature `serving_default`: libraries for tasks refuse a second
one. It takes batches of any size. Its metadata says what goes in, and what classes are called.
"""

import itertools
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

from keras_resnet.export import metadata
from keras_resnet.export.files import writing
from keras_resnet.export.head import ORDER
from keras_resnet.export.packages import require
from keras_resnet.export.pixels import from_pixels, rounds
from keras_resnet.manifest import Manifest
from keras_resnet.preprocessing import Preprocessing
from keras_resnet.rewrite.int8 import FakeQuantize

Array = np.ndarray[Any, Any]
KINDS = ("float32", "float16", "dynamic", "int8")
SIGNATURE = "serving_default"


def check_runtime(name: str = "tflite") -> None:
    """Raises ValueError if the interpreter that checks the file is not installed."""
    require(name, {"ai_edge_litert": "ai-edge-litert"}, "serving")


def write(
    network: keras.Model,
    manifest: Manifest,
    file: Path,
    kind: str = "float32",
    calibration: Array | None = None,
    *,
    features: bool = False,
) -> None:
    """Writes a file from `images` to `probabilities` and `logits`.

    Args:
        network: folded, from normalized pixels to logits.
        manifest: the shape of images, how they are normalized, labels, and what follows logits.
        file: what to write.
        kind: "float32"; "float16" and "dynamic" keep weights in 16 and in 8 bits and compute
            in 32; "int8" computes in integers from end to end. Its images are uint8, a level of
            grey a step; what it returns is float32, without `probabilities`.
        calibration: for "int8", images of 0..255 [n, height, width, channels] that show in which
            range each activation lies. Not for a network that was trained to round, and knows.
        features: return the pooled `features` as well.

    Raises:
        ValueError: for an unknown kind, or "int8" of a network whose ranges are not known.
        OSError: if there is no room.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {KINDS}, got {kind!r}")
    trained, examples = rounds(network), None
    if kind == "int8" and not trained:
        if calibration is None:
            raise ValueError("int8 needs images that show the ranges of activations")
        examples = partial(_examples, calibration)
    normalize = partial(_rounding, manifest.known_preprocessing()) if trained else None
    model = from_pixels(network, manifest, normalize)
    # A softmax in int8 has 256 steps from 0 to 1: too few to tell what is improbable.
    left_out = {"probabilities" if kind == "int8" else "", "" if features else "features"}
    outputs = [name for name in ORDER if name in model.output and name not in left_out]
    with writing(file):
        with tempfile.TemporaryDirectory(dir=file.parent) as folder:
            content = _converted(model, outputs, kind, examples, folder)
        content = _named(content, outputs, metadata.describe(manifest, outputs))
        file.write_bytes(metadata.with_labels(content, manifest.labels))


def _converted(
    model: keras.Model,
    outputs: Sequence[str],
    kind: str,
    examples: Callable[[], Any] | None,
    folder: str,
) -> bytes:
    served = tf.Module()
    # The variables themselves: of a Keras model the converter would take none, and say nothing.
    served.weights = [weight.value for weight in model.weights]
    with warnings.catch_warnings():
        # TensorFlow warns of an interpreter that it uses itself.
        warnings.filterwarnings("ignore", r"\s*Warning: tf.lite.Interpreter", UserWarning)
        tf.saved_model.save(served, folder, signatures={SIGNATURE: _function(model, outputs)})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, [SIGNATURE])
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


def _function(model: keras.Model, names: Sequence[str]) -> Any:
    def answer(images: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = model(images, training=False)
        return {name: outputs[name] for name in names}

    return tf.function(answer, [tf.TensorSpec(model.input.shape, tf.float32, name="images")])


def _named(content: bytes, outputs: Sequence[str], about: bytes) -> bytes:
    """Orders outputs for those who ask for no signature, names tensors, and adds the metadata."""
    model = flatbuffer_utils.convert_bytearray_to_object(content)
    (signature,), (graph,) = model.signatureDefs, model.subgraphs
    ports = {port.name.decode(): port for port in (*signature.inputs, *signature.outputs)}
    signature.outputs = [ports[name] for name in outputs]
    graph.outputs = [ports[name].tensorIndex for name in outputs]
    _rename(graph.tensors, {port.tensorIndex: name for name, port in ports.items()})
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(about, np.uint8)
    entry.name, entry.buffer = metadata.NAME.encode(), len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _rename(tensors: Sequence[Any], ports: Mapping[int, str]) -> None:
    """Gives each tensor a name of its own, as converters that go by names expect.

    A tensor keeps one of the names of the operations that became one; all of them take as many
    bytes as the biases.
    """
    taken = set(ports.values())
    for i, tensor in enumerate(tensors):
        name = first = tensor.name.decode().split(";")[0]
        if i in ports:
            tensor.name = ports[i].encode()
            continue
        for count in itertools.count(1):
            if name not in taken:
                break
            name = f"{first}_{count}"
        taken.add(name)
        tensor.name = name.encode()


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
    """Yields what calibrates the signature."""
    images = images.astype(np.float32)
    # The range of pixels becomes 0..255 exactly, and uint8 images enter without rounding.
    images[0, 0, 0, 0], images[0, -1, -1, 0] = 0, 255
    for image in images:
        yield SIGNATURE, {"images": image[np.newaxis]}


def runner(file: Path, threads: int | None = None) -> Callable[[Array], Array]:
    """Returns what maps float32 images of 0..255 to the logits that a file computes.

    Args:
        file: what `write` wrote.
        threads: how many compute; None leaves it to LiteRT.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(file), num_threads=threads)
    run = interpreter.get_signature_runner(SIGNATURE)
    dtype = run.get_input_details()["images"]["dtype"]

    def logits(images: Array) -> Array:
        if dtype == np.uint8:
            images = np.rint(images)  # where resizing has left fractions
        return run(images=images.astype(dtype))["logits"]

    return logits
