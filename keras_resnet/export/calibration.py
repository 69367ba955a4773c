"""Real images: some for int8 to see the ranges of activations, others to compare formats on."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from keras_resnet import decoding
from keras_resnet.manifest import Manifest

Array = np.ndarray[Any, Any]
COUNT = 512
SPLITS = ("train", "test")  # to calibrate, and to compare
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True)
class RealImages:
    """Images of the kind that a network was trained for: a folder of files, or a data set.

    Args:
        directory: of JPEG, PNG and WebP files, its folders included. Every other one calibrates.
        dataset: "digits" of scikit-learn, or the name of a data set of TFDS, such as "cifar10".
        data_dir: where TFDS has it, by default its own place.

    Raises:
        ValueError: unless exactly one of directory and dataset is given, and is there.
    """

    directory: Path | None = None
    dataset: str | None = None
    data_dir: Path | None = None

    def __post_init__(self) -> None:
        if (self.directory is None) == (self.dataset is None):
            raise ValueError(
                "real images come from a directory or from a data set,"
                f" got {self.directory} and {self.dataset}"
            )
        if self.directory is not None and self.data_dir is not None:
            raise ValueError(f"data_dir belongs to a data set, got {self.data_dir} without one")
        for name, folder in (("directory", self.directory), ("data_dir", self.data_dir)):
            if folder is not None and not folder.expanduser().is_dir():
                raise ValueError(f"{name} must be a directory, got {folder}")
        if self.directory is not None and len(_files(self.directory)) < len(SPLITS):
            raise ValueError(
                f"{self.directory} needs two images, one to calibrate and one to compare"
                f" ({', '.join(SUFFIXES)}), got {len(_files(self.directory))}"
            )
        if self.dataset not in (None, "digits"):
            _builder(self.dataset, self.data_dir)

    def take(self, split: str, manifest: Manifest, count: int = COUNT) -> Array:
        """Returns images as the network of `manifest` takes them before they are normalized.

        Args:
            split: "train" for images that may calibrate, "test" for others.
            manifest: their size, their channels, and how they are resized.
            count: the most to return.

        Returns:
            float32 of 0..255 [n, height, width, channels], n at most `count`.

        Raises:
            ValueError: if no image can be read, or they have another number of channels.
        """
        if split not in SPLITS:
            raise ValueError(f"split must be one of {SPLITS}, got {split!r}")
        if self.directory is not None:
            found = _photographs(self.directory, split, manifest.image_shape[-1], count)
        elif self.dataset == "digits":
            found = iter(_digits(split)[:count])
        else:
            found = _tfds(_builder(self.dataset, self.data_dir), split, count)
        images = [_resized(image, manifest) for image in found]
        if not images:
            raise ValueError(f"none of the images of {self.directory or self.dataset} can be read")
        return np.stack(images)


def _resized(image: Array, manifest: Manifest) -> Array:
    channels = manifest.image_shape[-1]
    if image.shape[-1] != channels:
        raise ValueError(f"images must have {channels} channels, got {image.shape[-1]}")
    return np.asarray(manifest.scaling.resize(image), np.float32)


def _files(directory: Path) -> list[Path]:
    found = directory.expanduser().rglob("*")
    return sorted(file for file in found if file.suffix.lower() in SUFFIXES)


def _photographs(directory: Path, split: str, channels: int, count: int) -> Iterator[Array]:
    """Yields files from the whole of a directory: neighbours show the same things."""
    if channels not in decoding.CHANNELS:
        raise ValueError(f"images in files have {decoding.CHANNELS} channels, not {channels}")
    files = _files(directory)[SPLITS.index(split) :: len(SPLITS)]
    for i in np.linspace(0, len(files) - 1, min(count, len(files))).round().astype(int):
        try:
            data = tf.constant(files[i].read_bytes())
            decoding.total(data[tf.newaxis])
            yield decoding.decode(data, channels).numpy()
        except (OSError, tf.errors.InvalidArgumentError):
            logging.warning("left out, as no image can be read from it: %s", files[i])


def _digits(split: str) -> Array:
    """Returns 1,797 handwritten digits of 8x8 pixels, split as the driver does."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images = np.round(digits.images[..., np.newaxis] * (255 / 16)).astype(np.uint8)
    parts = train_test_split(images, test_size=0.2, random_state=0, stratify=digits.target)
    return parts[SPLITS.index(split)]


@cache
def _builder(name: str | None, data_dir: Path | None) -> Any:
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise ValueError(f"{name} needs: pip install 'he-keras-resnet[train]'") from error
    place = data_dir and str(data_dir.expanduser())
    try:
        builder = tfds.builder(name, data_dir=place)
    except (tfds.core.DatasetNotFoundError, tfds.core.registered.DatasetNotFoundError) as error:
        raise ValueError(f"dataset must be 'digits' or one of TFDS, got {name!r}") from error
    if "image" not in builder.info.features:
        raise ValueError(f"{name} has no images: its features are {builder.info.features}")
    try:
        builder.download_and_prepare()  # nothing, where that has been done
    except (AssertionError, OSError) as error:  # files to be got by hand; no way to get them
        raise ValueError(f"{name} cannot be prepared in {builder.data_dir}: {error}") from error
    return builder


def _tfds(builder: Any, split: str, count: int) -> Iterator[Array]:
    """Yields the first examples of a split: TFDS has shuffled them when it wrote them."""
    splits = builder.info.splits
    # As the driver: the labels of ImageNet's test images are not known.
    own = "test" in splits and builder.name != "imagenet2012"
    name = split if split == "train" or own else "validation"
    if name not in splits:
        raise ValueError(f"{builder.name} has no split {name!r}, only {sorted(splits)}")
    last = min(count, splits[name].num_examples)
    decoders, pixels = decoding.decoder(builder.info.features["image"])
    read = f"{name}[:{last}]"
    examples = builder.as_dataset(split=read, shuffle_files=False, decoders=decoders)
    images = examples.map(lambda example: pixels(example["image"]))
    yield from images.as_numpy_iterator()
