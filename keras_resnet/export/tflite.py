"""TFLite files from pixels to probabilities and logits, in 32, 16 and 8 bits.

Every file has one graph with the signature `serving_default`, because MediaPipe and OpenCV refuse a
second graph. It takes batches of any size. Its metadata describes the input and names the classes.
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
from keras_resnet.export.source import Source
from keras_resnet.preprocessing import Preprocessing
from keras_resnet.rewrite.int8 import FakeQuantize

__all__ = ["check_runtime", "runner", "write"]

Array = np.ndarray[Any, Any]
KINDS = ("float32", "float16", "dynamic", "int8")
SIGNATURE = "serving_default"


def check_runtime(name: str = "tflite") -> None:
    """Raises ValueError, which names the format, if the interpreter of files is not installed."""
    require(name, {"ai_edge_litert": "ai-edge-litert"}, "serving")


def write(source: Source, path: Path, kind: str = "float32") -> None:
    """Writes a file from `images` to `probabilities`, `logits` and, if asked for, `features`.

    Shapes are those of `from_pixels`.

    Args:
        source: the network. A network that was trained to round brings the ranges of its
            activations; for "int8" of any other one its calibration images show them.
        path: the file.
        kind: "float32"; "float16" and "dynamic" keep weights in 16 and in 8 bits and compute in
            float32; "int8" computes in integers from end to end. The images of an "int8" file are
            uint8 of 0..255; its outputs are float32, without `probabilities`.

    Raises:
        ValueError: for an unknown kind, and for "int8" without calibration of a network that was
            not trained to round.
        OSError: if the file cannot be written.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {KINDS}, got {kind!r}")
    manifest = source.manifest
    normalize = None
    examples = None
    if rounds(source.network):
        normalize = partial(_rounding, manifest.known_preprocessing())
    elif kind == "int8":
        if source.calibration is None:
            raise ValueError("int8 needs images that show the ranges of activations")
        examples = partial(_examples, source.calibration)
    model = from_pixels(source.network, manifest, normalize)
    outputs = _outputs(model, kind, features=source.tflite_features)
    with writing(path):
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            content = _converted(model, outputs, kind, examples, folder)
        content = _named(content, outputs, metadata.describe(manifest, outputs))
        path.write_bytes(metadata.with_labels(content, manifest.labels))


def _outputs(model: keras.Model, kind: str, *, features: bool) -> list[str]:
    """Returns the names of a file's outputs, in order."""
    names = [name for name in ORDER if name in model.output]
    if kind == "int8" and "probabilities" in names:
        # A softmax in int8 has 256 steps from 0 to 1, too few for what is improbable.
        names.remove("probabilities")
    if not features:
        names.remove("features")
    return names


def _converted(
    model: keras.Model,
    outputs: Sequence[str],
    kind: str,
    examples: Callable[[], Any] | None,
    folder: str,
) -> bytes:
    served = tf.Module()
    # The variables themselves: from a Keras model the converter silently takes none.
    served.weights = [weight.value for weight in model.weights]
    with warnings.catch_warnings():
        # TensorFlow warns about an interpreter that it uses itself.
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

    images = tf.TensorSpec(model.input.shape, tf.float32, name="images")
    return tf.function(answer, [images], autograph=False)


def _named(content: bytes, outputs: Sequence[str], about: bytes) -> bytes:
    """Orders outputs for readers that ignore the signature, names tensors, adds the metadata."""
    model = flatbuffer_utils.convert_bytearray_to_object(content)
    (signature,) = model.signatureDefs
    (graph,) = model.subgraphs
    ports = {port.name.decode(): port for port in (*signature.inputs, *signature.outputs)}
    signature.outputs = [ports[name] for name in outputs]
    graph.outputs = [ports[name].tensorIndex for name in outputs]
    _rename(graph.tensors, {port.tensorIndex: name for name, port in ports.items()})
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(about, np.uint8)
    entry = schema.MetadataT()
    entry.name = metadata.NAME.encode()
    entry.buffer = len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _rename(tensors: Sequence[Any], ports: Mapping[int, str]) -> None:
    """Gives each tensor a unique name, as converters that go by names expect.

    The name of a tensor lists all operations that were fused into it; one of them is kept, since
    all of them together take as many bytes as the biases.
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
    """Normalizes, and adds the ranges of its own two steps, which the network does not know."""
    mean = np.asarray(preprocessing.mean)
    shift = replace(preprocessing, std=(1.0,), bgr=False)
    scale = replace(preprocessing, mean=(0.0,), bgr=False)
    shifted = shift.normalize(_rounded(images, 0, 255))
    if np.all(np.asarray(scale.std) == 1):
        return shifted  # the network's first range follows; another one could contradict it
    return scale.normalize(_rounded(shifted, min(0, -mean.max()), max(0, 255 - mean.min())))


def _rounded(inputs: Any, low: float, high: float) -> Any:
    layer = FakeQuantize()
    outputs = layer(inputs)
    layer.set_weights([np.array([low, high], np.float32)])
    return outputs


def _examples(images: Array) -> Iterator[tuple[str, dict[str, Array]]]:
    """Yields the images one by one, as the converter wants them."""
    images = images.astype(np.float32)
    # The range of pixels becomes exactly 0..255, so that uint8 images enter without rounding.
    images[0, 0, 0, 0] = 0
    images[0, -1, -1, 0] = 255
    for image in images:
        yield SIGNATURE, {"images": image[np.newaxis]}


def runner(path: Path, threads: int | None = None) -> Callable[[Array], Array]:
    """Returns a function from float32 images of 0..255 to the float32 logits that a file computes.

    Args:
        path: what `write` wrote.
        threads: how many threads compute; None leaves it to LiteRT.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    run = interpreter.get_signature_runner(SIGNATURE)
    dtype = run.get_input_details()["images"]["dtype"]

    def logits(images: Array) -> Array:
        if dtype == np.uint8:
            images = np.rint(images)  # resizing leaves fractions
        return run(images=images.astype(dtype))["logits"]

    return logits
