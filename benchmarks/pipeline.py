"""From JPEGs to batches of 224x224 pixels, side by side on one core.

    python -m benchmarks.pipeline [FOLDER]

FOLDER holds JPEGs in any folders below it, such as a part of ImageNet; without one, photographs are
made up. All files are in the page cache. Each contestant delivers float32 batches of normalized
images, except `image_dataset_from_directory`, which only resizes. Torch takes part if it and
torchvision are installed.
"""

import io
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from benchmarks.measure import Table, Work, alternate, pin, rates
from keras_resnet import preprocessing
from keras_resnet.preprocessing.views import Look, View
from train import datasets, recipes
from train.datasets.batches import eval_batches
from train.datasets.examples import Examples
from train.recipes import plan
from train.run import machine

BATCH = 64
BATCHES = 16  # of a round: what a pipeline holds ready should be a small part
COPIES = 4  # of each file, so that a round is a part of an epoch
SIZE = 224
ROUNDS = 7
ENDLESS = 10**9  # images
MADE_UP = 192  # images
TORCH = "torchvision v2 + PIL"


def photographs(folder: Path) -> None:
    """Writes made-up photographs, of 500x375 pixels as most of ImageNet."""
    for i in range(MADE_UP):
        coarse = np.random.default_rng(i).integers(0, 256, (48, 64, 3)).astype(np.uint8)
        image = Image.fromarray(coarse).resize((500, 375), Image.Resampling.BICUBIC)
        image.save(folder / f"{i}.jpg", quality=92)


def linked(source: Path, folder: Path) -> list[bytes]:
    """Links the JPEGs of a folder into one of training images in two classes."""
    links = []
    for i, file in enumerate(sorted(source.resolve().rglob("*.[jJ][pP]*[gG]")) * COPIES):
        link = folder / "train" / str(i % 2) / f"{i}.jpg"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file)
        links.append(os.fsencode(link))
    return links


def ours(examples: Examples) -> dict[str, Iterator[Any]]:
    """Returns the batches of training, and those of an evaluation that begins again and again."""
    scaling = preprocessing.mode("torch")
    recipe = recipes.find(
        "imagenet_resnet50",
        batch_size=BATCH,
        augmentation="random_resized_crop",
        colour="none",
    )
    training = plan.train_batches(examples, recipe, scaling, 0)
    cut = plan.cutting(recipe, scaling).look
    evaluation = eval_batches(replace(examples, size=ENDLESS), scaling, BATCH)
    return {
        "keras_resnet, training": iter(training.map(lambda x, *_: scaling.normalize(x))),
        "keras_resnet, evaluation": iter(evaluation.map(lambda x, *_: scaling.normalize(x))),
        "its decoding alone, training": decoding_alone(examples, cut),
        "its decoding alone, evaluation": decoding_alone(examples, lambda _seed: scaling.view),
    }


def decoding_alone(examples: Examples, look: Callable[[tf.Tensor], Look]) -> Iterator[Any]:
    """Decodes what is seen of images, and nothing more: the least that a pipeline can take."""

    def decode(number: tf.Tensor) -> tf.Tensor:
        def window(size: tf.Tensor) -> View:
            return replace(look(tf.stack([0, number]))(size), finish=tf.shape)

        return examples.decode(tf.cast(number % examples.size, tf.int32), window)[0]

    numbers = tf.data.Dataset.range(ENDLESS)
    return iter(numbers.map(decode, tf.data.AUTOTUNE).batch(BATCH).prefetch(tf.data.AUTOTUNE))


def tensorflow(files: list[bytes], folder: Path) -> dict[str, Iterator[Any]]:
    """Returns what a first version of a script has, and what Keras offers."""
    mean = np.array([123.675, 116.28, 103.53], np.float32)
    std = np.array([58.395, 57.12, 57.375], np.float32)

    def decode(file: tf.Tensor) -> tf.Tensor:
        image = tf.io.decode_jpeg(tf.io.read_file(file), 3)
        return (tf.image.resize(image, [SIZE, SIZE]) - mean) / std

    naive = tf.data.Dataset.from_tensor_slices(files).repeat().map(decode, tf.data.AUTOTUNE)
    stock = keras.utils.image_dataset_from_directory(
        str(folder), labels=None, image_size=(SIZE, SIZE), batch_size=BATCH, verbose=False
    )
    return {
        "naive tf.data (whole image, no crop)": iter(naive.batch(BATCH).prefetch(tf.data.AUTOTUNE)),
        "image_dataset_from_directory (no crop)": iter(stock.repeat()),
    }


def torchvision(files: list[bytes]) -> dict[str, Iterator[Any]]:
    """Returns the transforms of torchvision's own training script."""
    import torch

    # Torchvision registers shapes for C++ operators that a CPU-only install may lack.
    sys.modules.setdefault("torchvision._meta_registrations", ModuleType("absent"))
    from torchvision.transforms import v2

    torch.set_num_threads(1)
    finish = [
        v2.PILToTensor(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ]
    training = v2.Compose([v2.RandomResizedCrop(SIZE), v2.RandomHorizontalFlip(), *finish])
    evaluation = v2.Compose([v2.Resize(256), v2.CenterCrop(SIZE), *finish])

    def batches(transform: Callable[[Any], Any]) -> Iterator[Any]:
        place = 0
        while True:
            chosen = [files[(place + i) % len(files)] for i in range(BATCH)]
            place += BATCH
            data = [io.BytesIO(Path(os.fsdecode(file)).read_bytes()) for file in chosen]
            yield torch.stack([transform(Image.open(one).convert("RGB")) for one in data])

    return {f"{TORCH}, training": batches(training), f"{TORCH}, evaluation": batches(evaluation)}


def work(batches: Iterator[Any]) -> Work:
    """Takes some batches, and waits until the pipeline has replaced them."""

    def take() -> None:
        for _ in range(BATCHES):
            next(batches)
        settle()

    return take


def settle() -> None:
    """Waits until no thread of this process has worked for a while."""
    idle = 0
    while idle < 3:
        start = time.process_time()
        time.sleep(0.1)
        idle = idle + 1 if time.process_time() - start < 0.002 else 0


def main(folder: str = "") -> None:
    pin()
    machine.keep_freed_memory()  # as the driver does; it serves all contestants
    with tempfile.TemporaryDirectory() as made, tempfile.TemporaryDirectory() as links:
        if not folder:
            photographs(Path(made))
        files = linked(Path(folder or made), Path(links))
        contestants = ours(datasets.load("folder", "train", links))
        contestants |= tensorflow(files, Path(links, "train"))
        try:
            contestants |= torchvision(files)
        except ImportError as error:
            print(f"without Torch: {error}", file=sys.stderr)
        average = sum(map(os.path.getsize, files)) / len(files)
        works = {name: work(batches) for name, batches in contestants.items()}
        seconds = alternate(works, ROUNDS)
    images = f"{len(files) // COPIES} {'' if folder else 'made-up '}JPEGs"
    Table(
        "pipeline",
        f"python -m benchmarks.pipeline{' FOLDER' if folder else ''}",
        "images per CPU second",
        next(name for name in (f"{TORCH}, training", *seconds) if name in seconds),
        rates(seconds, BATCH * BATCHES),
        (f"{images} of {average / 1000:.0f} kB on average.",),
    ).write()


if __name__ == "__main__":
    main(*sys.argv[1:2])
