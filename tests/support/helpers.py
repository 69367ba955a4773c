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
from keras_resnet.preprocessing.decoding import seen
from tests.support import forks
from train.recipes import plan
from train.recipes.recipe import Recipe

ROOT = Path(__file__).resolve().parents[2]
PLAIN = Preprocessing(image_size=8, crop=1.0)
TINY = "--field=repeats=[1,1,1]"


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
    """Runs a fresh Python, from the root of the checkout; where `module` would do, it is faster."""
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


def module(name: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs `python -m NAME ARGUMENTS` in a fork of a process that has imported TensorFlow."""
    run = forks.Run([name, *arguments], **environment)
    out, err = run.communicate()
    return subprocess.CompletedProcess([name, *arguments], run.wait(), out, err)


def modules(commands: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """Runs one module after another with its arguments; returns code, stdout and stderr of each."""
    done = [module(*command) for command in commands]
    return [{"code": x.returncode, "stdout": x.stdout, "stderr": x.stderr} for x in done]


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


def augmentation(recipe: Recipe, preprocess: Preprocessing):
    """Returns what training does to one decoded image, by its seed."""
    stream = plan.stream(recipe, preprocess, 10)

    def augment(image, seed):
        image = seen(tf.convert_to_tensor(image), stream.look(seed))
        return stream.change(image, seed) if stream.change else image

    return augment
