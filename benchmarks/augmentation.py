"""RandAugment of this package, Keras, KerasCV and torchvision: `python -m benchmarks.augmentation`.

Every contestant changes images of 224x224 pixels one by one, on one core, by one operation each on
average. KerasCV takes part where it is installed (`pip install keras-cv`). A second table compares
the operations without a random strength with Pillow.
"""

import importlib.util
import sys
import warnings
from collections.abc import Callable, Mapping
from importlib import metadata
from types import ModuleType
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps

from benchmarks import measure
from train.augment import policies

IMAGES = 64
ROUNDS = 9
SIZE = 224
MAGNITUDE = 0.7
RANGE = (0, 255)
COMMAND = "python -m benchmarks.augmentation"
Operation = Callable[[np.ndarray[Any, Any]], Any]


def main() -> None:
    measure.pin()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    warnings.filterwarnings("ignore")
    pixels = images(IMAGES)
    seconds = measure.alternate(contestants(pixels), ROUNDS)
    note = (
        f"RandAugment at {MAGNITUDE:g} of the largest magnitude, one operation per image on"
        f" average. {version()}"
    )
    measure.Table(
        "augmentation",
        COMMAND,
        "images per CPU second",
        "keras_resnet",
        measure.rates(seconds, len(pixels)),
        (note,),
    ).write()
    rows = tuple((name, *cells) for name, cells in differences(pixels).items())
    measure.Columns("augmentation_pixels", COMMAND, ("operation", *columns()), rows).write()


def images(count: int) -> np.ndarray[Any, Any]:
    """Returns images of smooth colours and some noise, uint8 [count, SIZE, SIZE, 3]."""
    random = np.random.default_rng(0)
    coarse = random.integers(20, 200, (count, 7, 7, 3)).astype(np.uint8)
    smooth = [
        Image.fromarray(each).resize((SIZE, SIZE), Image.Resampling.BICUBIC) for each in coarse
    ]
    noise = random.normal(0, 5, (count, SIZE, SIZE, 3))
    return np.clip(np.stack([np.asarray(each) for each in smooth]) + noise, *RANGE).astype(np.uint8)


def contestants(pixels: np.ndarray[Any, Any]) -> dict[str, measure.Work]:
    """Returns what each library does to all images, one by one."""
    ours = policies.policy("randaugment", MAGNITUDE)
    theirs = keras.layers.RandAugment(RANGE, num_ops=1, factor=MAGNITUDE)
    maps: dict[str, Callable[..., Any]] = {
        "keras_resnet": ours,
        "keras.layers.RandAugment": lambda image, _: theirs(tf.cast(image, tf.float32)),
    }
    if has_keras_cv():
        import keras_cv

        layer = keras_cv.layers.RandAugment(
            RANGE, augmentations_per_image=2, rate=0.5, magnitude=MAGNITUDE
        )
        maps["keras_cv.layers.RandAugment"] = lambda image, _: layer(tf.cast(image, tf.float32))
    works = {name: graph(pixels, change) for name, change in maps.items()}
    # Beside a Torch of another build its operators of detection cannot be registered.
    sys.modules.setdefault("torchvision._meta_registrations", ModuleType("absent"))
    from torchvision.transforms import RandAugment

    torch = RandAugment(num_ops=1, magnitude=round(30 * MAGNITUDE))
    pictures = [Image.fromarray(image) for image in pixels]
    return {**works, "torchvision, on Pillow": lambda: [torch(picture) for picture in pictures]}


def graph(pixels: np.ndarray[Any, Any], change: Callable[..., Any]) -> measure.Work:
    """Returns what changes one image after another in a graph, as a map of `tf.data` does.

    It is no map of `tf.data`, which reads ahead: its work would count for other rounds.
    """
    seeds = np.arange(2 * len(pixels), dtype=np.int32).reshape(-1, 2)

    @tf.function
    def all_images() -> Any:
        return tf.map_fn(
            lambda row: change(*row),
            (tf.constant(pixels), tf.constant(seeds)),
            parallel_iterations=1,
            fn_output_signature=tf.float32,
        )

    return all_images


def differences(pixels: np.ndarray[Any, Any]) -> dict[str, list[str]]:
    """Returns for each operation the mean and largest difference to Pillow, by library."""
    libraries = operations()
    image = pixels[0]
    found = {}
    for name, pillow in PILLOW.items():
        wanted = np.asarray(pillow(Image.fromarray(image)), np.float32)
        cells = []
        for library in libraries.values():
            if name not in library:  # it always draws a strength of its own
                cells.append("")
                continue
            error = np.abs(np.asarray(library[name](image.astype(np.float32))) - wanted)
            cells.append(f"{error.mean():.2f}, {error.max():.0f}")
        found[name] = cells
    return found


PILLOW: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    "AutoContrast": ImageOps.autocontrast,
    "Equalize": ImageOps.equalize,
    "Posterize": lambda image: ImageOps.posterize(image, 4),
    "Solarize": lambda image: ImageOps.solarize(image, 128),
}


def operations() -> dict[str, dict[str, Operation]]:
    """Returns the operations of each library, with the strengths of PILLOW."""
    ours = policies.operations(policies.GREY)
    strengths = {"AutoContrast": 0.0, "Equalize": 0.0, "Posterize": 4.0, "Solarize": 128.0}

    def own(name: str) -> Operation:
        return lambda image: np.floor(ours[name](tf.constant(image), tf.constant(strengths[name])))

    found: dict[str, dict[str, Operation]] = {
        "keras_resnet": {name: own(name) for name in PILLOW},
        "keras.layers": {
            "AutoContrast": keras.layers.AutoContrast(RANGE),
            "Equalize": keras.layers.Equalization(RANGE),
        },
    }
    if has_keras_cv():
        import keras_cv

        found["keras_cv"] = {
            "AutoContrast": keras_cv.layers.AutoContrast(RANGE),
            "Equalize": keras_cv.layers.Equalization(RANGE),
            "Posterize": keras_cv.layers.Posterization(RANGE, bits=4),
            "Solarize": keras_cv.layers.Solarization(RANGE, threshold_factor=(128, 128)),
        }
    return found


def columns() -> tuple[str, ...]:
    return tuple(f"{library}: mean, largest" for library in operations())


def has_keras_cv() -> bool:
    return importlib.util.find_spec("keras_cv") is not None


def version() -> str:
    if not has_keras_cv():
        return "KerasCV was not installed."
    return f"KerasCV {metadata.version('keras-cv')}."


if __name__ == "__main__":
    main()
