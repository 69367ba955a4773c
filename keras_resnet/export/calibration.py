"""Real images: some for int8 to see the ranges of activations, others to compare formats on."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from keras_resnet import labels, tfds
from keras_resnet.manifest import Manifest
from keras_resnet.preprocessing import decoding, files as image_files, kinds as image_kinds

Array = np.ndarray[Any, Any]
COUNT = 512
SPLITS = ("train", "test")  # to calibrate, and to compare
CONTRAST = (
    2  # grey levels between the darkest and the lightest pixel of an image that shows a thing
)
Named = tuple[Array, str | None]  # an image, and the name of its class where it is known


@dataclass(frozen=True)
class RealImages:
    """Images of the kind that a network was trained for: a folder of files, or a data set.

    Args:
        directory: of images, in any of the folders below it; which files are images is decided
            in `image_files`. Every other one calibrates. Folders whose names are labels of the
            network say what their images show.
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
        if self.directory is not None:
            self._check_files()
        if self.dataset not in (None, "digits"):
            features = self._builder().info.features
            if "image" not in features:
                raise ValueError(f"{self.dataset} has no images: its features are {features}")

    def _builder(self) -> Any:
        return tfds.opened(str(self.dataset), None if self.data_dir is None else str(self.data_dir))

    @cached_property
    def _found(self) -> image_files.Found:
        return image_files.find(Path(self.directory or "").expanduser())

    def _check_files(self) -> None:
        files = self._found.files
        left_out = str(self._found.left_out)
        if len(files) < len(SPLITS):
            told = f"; left out: {left_out}" if left_out else ""
            raise ValueError(
                f"{self.directory} needs two images, one to calibrate and one to compare"
                f" ({', '.join(image_kinds.READ)}), got {len(files)}{told}"
            )
        if left_out:
            logging.warning("left out of %s: %s", self.directory, left_out)

    def _files(self, split: str) -> list[Path]:
        root = Path(self.directory or "").expanduser()
        return [root / file for file in self._found.files[SPLITS.index(split) :: len(SPLITS)]]

    def take(self, split: str, manifest: Manifest, count: int = COUNT) -> Array:
        """Returns the images of `examples` without their classes."""
        return self.examples(split, manifest, count)[0]

    def examples(
        self, split: str, manifest: Manifest, count: int = COUNT
    ) -> tuple[Array, Array | None]:
        """Returns images as the network of `manifest` takes them before they are normalized.

        Args:
            split: "train" for images that may calibrate, "test" for others.
            manifest: their size, their channels, how they are resized, and the labels.
            count: the most to return.

        Returns:
            float32 of 0..255 [n, height, width, channels], n at most `count`; and their classes
            as indices of the labels [n], or None unless the labels name the class of each image.

        Raises:
            ValueError: if no image can be read, or they have another number of channels.
        """
        if split not in SPLITS:
            raise ValueError(f"split must be one of {SPLITS}, got {split!r}")
        if self.directory is not None:
            found = _photographs(self._files(split), manifest.image_shape[-1], count)
        elif self.dataset == "digits":
            found = itertools.islice(_digits(split), count)
        else:
            found = _tfds(self._builder(), split, count)
        pairs = [(_resized(image, manifest), name) for image, name in found]
        if not pairs:
            raise ValueError(f"none of the images of {self.directory or self.dataset} can be read")
        images, names = zip(*pairs, strict=True)
        return np.stack(images), _classes(names, manifest.labels)


def check(images: Array, name: str, manifest: Manifest) -> None:
    """Refuses images from which neither ranges nor choices can be learned.

    Raises:
        ValueError: for another shape, for pixels outside of 0..255 or of a smaller scale, and if
            no image shows anything.
    """
    shape = manifest.image_shape
    if images.ndim != 4 or images.shape[1:] != shape or not len(images):
        raise ValueError(f"{name} must have the shape (n, {', '.join(map(str, shape))}), got"
                         f" {images.shape}")  # fmt: skip
    lowest, highest = float(images.min()), float(images.max())
    if not (lowest >= 0 and highest <= 255):
        raise ValueError(f"{name} must have pixels of 0..255, got {lowest:g}..{highest:g}")
    contrast = float((images.max((1, 2, 3)) - images.min((1, 2, 3))).max())
    if contrast >= CONTRAST:
        return
    if highest <= 1 and contrast > 0:
        raise ValueError(f"{name} must have pixels of 0..255, got {lowest:g}..{highest:g}: are they"
                         " divided by 255?")  # fmt: skip
    raise ValueError(f"{name} show nothing: each of the {len(images)} has one shade")


def _classes(names: Sequence[str | None], known: Sequence[str]) -> Array | None:
    """Returns the indices of names among the labels of a network, or None if one is no label."""
    distinct = [name for name in dict.fromkeys(names) if name is not None]
    if len(known) == 1 or None in names:
        return None
    try:
        places = dict(zip(distinct, labels.places(distinct, known), strict=True))
    except ValueError:
        return None
    return np.array([places[str(name)] for name in names])


def _resized(image: Array, manifest: Manifest) -> Array:
    channels = manifest.image_shape[-1]
    if image.shape[-1] != channels:
        raise ValueError(f"images must have {channels} channels, got {image.shape[-1]}")
    return np.asarray(manifest.known_preprocessing().resize(image), np.float32)


def _photographs(files: Sequence[Path], channels: int, count: int) -> Iterator[Named]:
    """Yields files from the whole of a directory: neighbours show the same things."""
    if channels not in decoding.CHANNELS:
        raise ValueError(f"images in files have {decoding.CHANNELS} channels, not {channels}")
    for i in np.linspace(0, len(files) - 1, min(count, len(files))).round().astype(int):
        try:
            data = tf.constant(files[i].read_bytes())
            yield decoding.decode(data, channels).numpy(), files[i].parent.name
        except (OSError, tf.errors.InvalidArgumentError):
            name = image_files.printable(str(files[i]))
            logging.warning("left out, as no image can be read from it: %s", name)


def _digits(split: str) -> Iterator[Named]:
    """Yields 1,797 handwritten digits of 8x8 pixels, split as the driver does."""
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ImportError as error:
        raise ValueError("digits needs: pip install 'he-keras-resnet[train]'") from error
    digits = load_digits()
    images = np.round(digits.images[..., np.newaxis] * (255 / 16)).astype(np.uint8)
    parts = train_test_split(
        images, digits.target, test_size=0.2, random_state=0, stratify=digits.target
    )
    kind = SPLITS.index(split)
    yield from zip(parts[kind], map(str, parts[2 + kind]), strict=True)


def _tfds(builder: Any, split: str, count: int) -> Iterator[Named]:
    """Yields the first examples of a split: TFDS has shuffled them when it wrote them."""
    part = tfds.part_of(builder, split)
    first = str(tfds.Part(part.split, part.start, min(part.stop, part.start + count)))
    decoder, label = tfds.decoder(builder), dict(builder.info.features).get("label")
    rows = builder.as_dataset(split=first, shuffle_files=False, decoders=decoder.told)
    named = getattr(label, "int2str", None) if getattr(label, "num_classes", None) else None
    for i, row in enumerate(rows.as_numpy_iterator()):
        try:
            pixels = decoder.pixels(tf.constant(row["image"])).numpy()
        except tf.errors.InvalidArgumentError as error:
            reason = decoding.reason(error.message)
            logging.warning(
                "left out, as no image can be read from it: %s, %d: %s", first, i, reason
            )
            continue
        yield pixels, named(row["label"]) if named and row["label"] >= 0 else None
