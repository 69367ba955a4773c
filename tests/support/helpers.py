"""What several test files share: tiny recipes, tiny data, and processes of their own."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_resnet.preprocessing import Preprocessing
from train.recipes.recipe import Recipe

ROOT = Path(__file__).resolve().parents[2]
PLAIN = Preprocessing(image_size=8, crop=1.0)
TINY = "--field=repeats=[1,1,1]"
# Runs a module once for each list of arguments, in forks, to import TensorFlow only once, and to
# end without the second that Python needs to take TensorFlow down.
FORKS = """
import json, os, runpy, sys, traceback
import keras_resnet.export.tflite, sklearn.datasets, train.loop
folder, cases = sys.argv[1], json.loads(sys.argv[2])
sys.modules.pop("train.evaluate", None)
for i, (module, *arguments) in enumerate(cases):
    child = os.fork()
    if not child:
        for stream in (1, 2):
            os.dup2(os.open(f"{folder}/{i}.{stream}", os.O_CREAT | os.O_WRONLY), stream)
        sys.argv, code = [module, *arguments], 0
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        except SystemExit as end:
            code = end.code
        except BaseException:
            traceback.print_exc()
            code = 1
        if isinstance(code, str):
            print(code, file=sys.stderr)
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with open(f"{folder}/{i}.0", "w") as file:
        file.write(str(status))
"""


def recipe(**changes: Any) -> Recipe:
    """A recipe that is quick to follow; every test says what it changes."""
    values = {
        "network": "resnet20",
        "dataset": "digits",
        "steps": 3,
        "batch_size": 8,
        "image_size": 8,
        "preprocessing": "none",
        "fields": {"repeats": [1, 1, 1]},
    }
    return Recipe(**{**values, **changes})


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs Python in a process of its own, from the root of the checkout."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def last_line(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Checks that a process ended well; returns the JSON of the last line that it printed."""
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def python_forks(folder: Path, cases: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """Runs `python -m MODULE ARGUMENTS` for each case; returns code, stdout and stderr."""
    folder.mkdir()
    done = python("-c", FORKS, str(folder), json.dumps(cases))
    assert done.returncode == 0, done.stderr
    texts = [[(folder / f"{i}.{s}").read_text() for s in range(3)] for i in range(len(cases))]
    return [{"code": int(code), "stdout": out, "stderr": err} for code, out, err in texts]


def randomize(model: keras.Model, seed: int = 0) -> keras.Model:
    """Gives BN statistics and scales values that no initializer gives; returns the model."""
    random = np.random.default_rng(seed)
    for weight in model.weights:
        if len(weight.shape) == 1:
            low, high = (
                (0.5, 1.5) if "variance" in weight.path or "gamma" in weight.path else (-0.5, 0.5)
            )
            weight.assign(random.uniform(low, high, weight.shape))
    return model


def arrays(batches: tf.data.Dataset, count: int = -1) -> list[tuple[np.ndarray, ...]]:
    return list(batches.take(count).as_numpy_iterator())


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    """Random pixels of a shape, uint8; images of a batch are all different."""
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def tfds_set(folder: Path, counts: dict[str, int], shape: Sequence[int | None] = (8, 8, 3)) -> str:
    """Writes a data set of TFDS in three shards a split, without a network; returns its name."""
    import tensorflow_datasets as tfds

    features = {
        "image": tfds.features.Image(shape=shape, encoding_format="png"),
        "label": tfds.features.ClassLabel(names=["cat", "dog", "eel"]),
    }
    sides = [size or 8 for size in shape]
    splits = {
        split: [{"image": x, "label": i % 3} for i, x in enumerate(noise(count, *sides, seed=seed))]
        for seed, (split, count) in enumerate(counts.items())
    }
    write_tfds(folder, "shapes", features, splits)
    return "shapes"


def write_tfds(
    folder: Path,
    name: str,
    features: dict[str, Any],
    splits: dict[str, Any],
    version: str = "1.0.0",
) -> None:
    import tensorflow_datasets as tfds

    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version=version,
        features=tfds.features.FeaturesDict(features),
        split_datasets={split: list(enumerate(rows)) for split, rows in splits.items()},
        data_dir=folder,
        download_config=tfds.download.DownloadConfig(
            num_shards=min([3, *map(len, splits.values())])
        ),
    )


def image_folder(folder: Path, count: int, size: tuple[int, int] = (10, 12), seed: int = 0) -> Path:
    """Writes `count` PNGs in folders of the classes a, b and c; returns the folder."""
    from PIL import Image

    for i, pixels in enumerate(noise(count, *size, 3, seed=seed)):
        place = folder / "cab"[i % 3]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / f"{i:03d}.png")
    return folder
