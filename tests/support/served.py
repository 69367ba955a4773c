"""A tiny export with every signature, images for it, and the stand-in for TensorFlow Serving."""

import contextlib
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from tests.support import helpers


def tiny(
    directory: Path, seed: int = 0, size: int = 32, classes: int = 10, activation: str = "softmax"
) -> Path:
    """Exports a ResNet of one block a stage with random weights; returns the directory."""
    import keras

    import keras_resnet
    from keras_resnet.export import job
    from keras_resnet.manifest import Manifest
    from keras_resnet.preprocessing import Preprocessing

    keras.utils.set_random_seed(seed)
    fields = {"repeats": [1, 1, 1]}
    shape = (size, size, 3)
    model = keras_resnet.resnet(
        "resnet20", input_shape=shape, classes=classes, classifier_activation=None, **fields
    )
    helpers.randomize(model, seed)
    scaling = Preprocessing(mean=(120.0,), std=(60.0,), image_size=size, crop=1.0)
    labels = tuple(f"class {i}" for i in range(classes))
    manifest = Manifest("resnet20", shape, labels, scaling, fields, activation=activation)
    job.export(model, manifest, directory, job.Job(("saved_model",)))
    return directory


def config(folder: Path, rows: str) -> Path:
    """Writes a `models.config` with these rows; returns its path."""
    file = folder / "models.config"
    file.write_text(f"model_config_list {{ {rows} }}")
    return file


@contextlib.contextmanager
def stub(config: Path) -> Iterator[dict[str, str]]:
    """Runs the stand-in; yields its addresses of gRPC and REST."""
    command = [sys.executable, "-m", "saved_models.serving.servers.stub", str(config)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=helpers.ROOT, **pipes) as process:
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.stdin.close()
            process.stdout.close()
            assert process.wait(30) == 0


def encoded(seed: int, kind: str = "PNG", size: tuple[int, int] = (40, 50)) -> bytes:
    file = io.BytesIO()
    Image.fromarray(helpers.noise(1, *size, 3, seed=seed)[0]).save(file, kind)
    return file.getvalue()


def texts(values: list[bytes]) -> np.ndarray:
    """Bytes in an array that keeps zeros at their end."""
    array = np.empty(len(values), object)
    array[:] = values
    return array


IMAGES = [encoded(0), encoded(1, "JPEG"), encoded(2, "WEBP"), encoded(3, size=(300, 20))]
