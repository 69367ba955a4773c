"""Exports of ResNet-50, in turns on one core: `python -m benchmarks.inference [BATCH [ROUNDS]]`.

The contestants take turns in one process. All of them see the same images of 0..255; those without
normalization inside see normalized images. TensorFlow uses oneDNN, as it does by itself on
processors with AVX512-VNNI or AMX. Torch and torchvision have to be installed.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # read while TensorFlow is imported

import keras
import numpy as np
import tensorflow as tf

import keras_resnet
from benchmarks import measure
from keras_resnet import preprocessing, weights
from keras_resnet.export.formats import FORMATS
from keras_resnet.export.source import Source
from keras_resnet.manifest import Manifest
from keras_resnet.rewrite.fold import fold
from saved_models.serving.servers.stub.loader import Loaded

Predict = Callable[[], object]
SIZE = 224
CALIBRATION = 16  # images
UNIT = "ResNet-50 images per CPU second"
NOTES = (
    "SavedModels of keras_resnet run in the C++ loader of TensorFlow Serving, unless in Python.",
    "int8 is calibrated on noise; its speed does not depend on the images.",
    "`keras.applications` has v1, which is 6 % cheaper than v1.5.",
)


def exports(images: np.ndarray, folder: Path) -> dict[str, Predict]:
    """Returns every format of ResNet-50 v1.5, and the SavedModel in bfloat16 where it is fast."""
    model = keras_resnet.ResNet50V1_5(input_shape=(SIZE, SIZE, 3), classifier_activation=None)
    _trained(model)
    scaling = preprocessing.mode("torch")
    manifest = Manifest("resnet50_v1_5", (SIZE, SIZE, 3), weights.labels(1000), scaling)
    calibration = np.random.default_rng(1).uniform(0, 255, (CALIBRATION, SIZE, SIZE, 3))
    source = Source(fold(model), manifest, model.endpoints, calibration.astype(np.float32))
    found: dict[str, Predict] = {}
    for name, chosen in FORMATS.items():
        path = folder / name / chosen.file
        path.parent.mkdir(parents=True, exist_ok=True)
        chosen.write(source, path)
        if name == "saved_model":
            found[name] = _served(path, images)
            found["saved_model in Python"] = partial(chosen.runner(path), images)
        else:  # one thread: more of them would wait for the one core, and spin
            found[name] = partial(chosen.runner(path, threads=1), images)
    if measure.bfloat16():
        half = replace(source, network=fold(model, "bfloat16"))
        FORMATS["saved_model"].write(half, folder / "bfloat16")
        found["saved_model bfloat16"] = _served(folder / "bfloat16", images)
    return {f"keras_resnet {name}": predict for name, predict in found.items()}


def _served(path: Path, images: np.ndarray) -> Predict:
    loaded = Loaded(path)
    return lambda: loaded.run("serving_default", {"images": images}, ("logits",))


def _trained(model: keras.Model) -> None:
    """Shifts normalizations: TensorFlow removes biases of 0, which no trained network has."""
    random = np.random.default_rng(2)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.beta.assign(random.normal(0, 0.1, layer.beta.shape))


def stock(images: np.ndarray, folder: Path) -> dict[str, Predict]:
    """Returns Keras's own v1, which is 6 % cheaper than v1.5: `predict`, and its `export`."""
    model = keras.applications.ResNet50(weights=None)
    scaled = tf.constant(preprocessing.mode("caffe").normalize(images))
    model.export(str(folder / "stock"), verbose=False)
    loaded = tf.saved_model.load(str(folder / "stock"))
    return {
        "keras.applications export": lambda: loaded.serve(scaled),
        "keras.applications predict": lambda: model.predict(scaled, verbose=0),
    }


def torchvision(images: np.ndarray) -> dict[str, Predict]:
    """Returns torchvision's v1.5: eager and traced."""
    import torch

    # Torchvision registers shapes for C++ operators that a CPU-only install may lack.
    sys.modules.setdefault("torchvision._meta_registrations", ModuleType("absent"))
    from torchvision.models import resnet

    torch.set_num_threads(1)
    model = resnet.resnet50().eval().to(memory_format=torch.channels_last)
    x = torch.tensor(images / 255).permute(0, 3, 1, 2).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        frozen = torch.jit.optimize_for_inference(torch.jit.trace(model, x))

    def predict(module: torch.nn.Module, *, half: bool = False) -> object:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            return module(x)

    found: dict[str, Predict] = {
        "torchvision eager": partial(predict, model),
        "torchvision jit, optimized": partial(predict, frozen),
    }
    if measure.bfloat16():
        found["torchvision eager bfloat16"] = partial(predict, model, half=True)
    return found


def main(batch: int = 8, rounds: int = 9) -> None:
    measure.pin()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    images = np.random.default_rng(0).uniform(0, 255, (batch, SIZE, SIZE, 3)).astype(np.float32)
    with tempfile.TemporaryDirectory() as name:
        runs = exports(images, Path(name)) | stock(images, Path(name)) | torchvision(images)
        seconds = measure.alternate(runs, rounds)
    command = f"python -m benchmarks.inference {batch} {rounds}"
    rates = measure.rates(seconds, batch)
    table = measure.Table(f"inference_{batch}", command, UNIT, "keras_resnet onnx", rates, NOTES)
    table.write()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
