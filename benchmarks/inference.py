"""Exports of ResNet-50, side by side on one core: `python -m benchmarks.inference [BATCH]`.

One process, pinned to one core; the contestants take turns, A B C A B C, and the CPU time of each
round is measured. All of them see the same images of 0..255; those without normalization inside
see normalized images. Torch and torchvision have to be installed.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType

import keras
import numpy as np
import tensorflow as tf

import keras_resnet
from keras_resnet import preprocessing, weights
from keras_resnet.export.formats import FORMATS
from keras_resnet.export.source import Source
from keras_resnet.manifest import Manifest
from keras_resnet.rewrite.fold import fold

Predict = Callable[[], object]
SIZE = 224
CALIBRATION = 16  # images


def exports(images: np.ndarray, folder: Path) -> dict[str, Predict]:
    """Returns every format of ResNet-50 v1.5, and the SavedModel in bfloat16."""
    model = keras_resnet.ResNet50V1_5(input_shape=(SIZE, SIZE, 3), classifier_activation=None)
    scaling = preprocessing.mode("torch")
    manifest = Manifest("resnet50_v1_5", (SIZE, SIZE, 3), weights.labels(1000), scaling)
    calibration = np.random.default_rng(1).uniform(0, 255, (CALIBRATION, SIZE, SIZE, 3))
    source = Source(fold(model), manifest, model.endpoints, calibration.astype(np.float32))
    found: dict[str, Predict] = {}
    for name, chosen in FORMATS.items():
        path = folder / name / chosen.file
        path.parent.mkdir(parents=True, exist_ok=True)
        chosen.write(source, path)
        # One thread: more of them would wait for the one core, and spin.
        threads = {} if name == "saved_model" else {"threads": 1}
        found[name] = partial(chosen.runner(path, **threads), images)
    half = replace(source, network=fold(model, "bfloat16"))
    FORMATS["saved_model"].write(half, folder / "bfloat16")
    found["saved_model bfloat16"] = partial(
        FORMATS["saved_model"].runner(folder / "bfloat16"), images
    )
    return {f"keras_resnet {name}": predict for name, predict in found.items()}


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
    """Returns torchvision's v1.5: eager, in bfloat16, and traced."""
    import torch

    # Torchvision registers shapes for C++ operators that a CPU-only install may lack.
    sys.modules.setdefault("torchvision._meta_registrations", ModuleType("absent"))
    from torchvision.models import resnet

    torch.set_num_threads(1)
    model = resnet.resnet50().eval().to(memory_format=torch.channels_last)
    x = torch.tensor(images / 255).permute(0, 3, 1, 2).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        frozen = torch.jit.optimize_for_inference(torch.jit.trace(model, x))

    def predict(module: torch.nn.Module, *, bfloat16: bool = False) -> object:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            return module(x)

    return {
        "torchvision eager": partial(predict, model),
        "torchvision eager bfloat16": partial(predict, model, bfloat16=True),
        "torchvision jit, optimized": partial(predict, frozen),
    }


def main(batch: int = 8, rounds: int = 9) -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    images = np.random.default_rng(0).uniform(0, 255, (batch, SIZE, SIZE, 3)).astype(np.float32)
    with tempfile.TemporaryDirectory() as name:
        runs = exports(images, Path(name)) | stock(images, Path(name)) | torchvision(images)
        seconds = measure(runs, rounds)
    first = statistics.median(seconds["keras.applications export"])
    print(f"| ResNet-50, batch {batch} | images per CPU second | times keras.applications export |")
    print("|---|---|---|")
    for name, times in seconds.items():
        median = statistics.median(times)
        print(f"| {name} | {batch / median:.2f} | {first / median:.2f} |")


def measure(runs: dict[str, Predict], rounds: int) -> dict[str, list[float]]:
    """Returns the CPU seconds of each round of each contestant, after one round to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.process_time()
            run()
            seconds[name].append(time.process_time() - start)
    return seconds


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
