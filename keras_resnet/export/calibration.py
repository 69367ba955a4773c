"""Real images: one half shows int8 the ranges of activations, formats are compared on the other.

The halves have no image in common, so that int8 is not measured on images that it was fitted to.
Images come from a folder of files, or from one .npz file such as `train.evaluate` writes.
"""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from keras_resnet import labels
from keras_resnet.console import progress
from keras_resnet.manifest import Manifest
from keras_resnet.preprocessing import decoding, image_files, image_kinds

__all__ = ["File", "Folder", "check"]

Array = np.ndarray[Any, Any]
COUNT = 512  # images of each half
CALIBRATE = slice(0, None, 2)
COMPARE = slice(1, None, 2)
CONTRAST = 2  # grey levels between the darkest and the lightest pixel of an image, at least


class Folder:
    """The images in a folder and the folders below it.

    Which files are images is decided in `keras_resnet.preprocessing.image_files`. A folder that is
    named like a label of the network tells the class of the images in it.

    Args:
        directory: the folder.

    Raises:
        ValueError: if it is not a folder, cannot be read, or holds fewer than two images.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.expanduser()
        if not self.directory.is_dir():
            raise ValueError(f"the images must be in a directory, got {directory}")
        found = image_files.find(self.directory)
        self._files = [self.directory / file for file in found.files]
        left_out = str(found.left_out)
        if len(self._files) < 2:
            hint = f"; left out: {left_out}" if left_out else ""
            raise ValueError(
                f"{directory} needs two images, one to calibrate and one to compare"
                f" ({', '.join(image_kinds.READ)}), got {len(self._files)}{hint}"
            )
        if left_out:
            logging.warning("left out of %s: %s", directory, left_out)

    def __str__(self) -> str:
        return str(self.directory)

    def to_calibrate(self, manifest: Manifest, count: int = COUNT) -> Array:
        """Returns images of the first, third, fifth ... file, spread over the whole folder.

        Args:
            manifest: says how images are resized, and to which size and channels.
            count: the most files to read.

        Returns:
            float32 of 0..255 [n, height, width, channels], before normalization; n is smaller than
            `count` if there are fewer files, or if some of them cannot be decoded (each is logged).

        Raises:
            ValueError: if no file can be decoded, or the network takes 2 or more than 4 channels.
        """
        images, _ = self._read(self._files[CALIBRATE], manifest, count)
        return images

    def to_compare(self, manifest: Manifest, count: int = COUNT) -> tuple[Array, Array | None]:
        """Returns images of the second, fourth, sixth ... file, and their classes.

        Args, Raises: see `to_calibrate`.

        Returns:
            Images as `to_calibrate` does, and the index of each image's label, int64 [n]. None in
            place of the indices if a folder is not named like a label, or there is only one label.
        """
        images, folders = self._read(self._files[COMPARE], manifest, count)
        return images, _classes(folders, manifest.labels)

    def _read(
        self, files: Sequence[Path], manifest: Manifest, count: int
    ) -> tuple[Array, list[str]]:
        channels = manifest.image_shape[-1]
        if channels not in decoding.CHANNELS:
            raise ValueError(f"images in files have {decoding.CHANNELS} channels, not {channels}")
        images = []
        folders = []
        chosen = _spread(len(files), count)
        for i in progress.each(chosen, "reading images", len(chosen), "images"):
            try:
                data = tf.constant(files[i].read_bytes())
                pixels = decoding.decode(data, channels).numpy()
            except (OSError, tf.errors.InvalidArgumentError):
                name = image_files.printable(str(files[i]))
                logging.warning("left out, because no image can be decoded from it: %s", name)
                continue
            resized = np.asarray(manifest.known_preprocessing().resize(pixels), np.float32)
            images.append(resized.clip(0, 255))  # white may come out as 255.00002
            folders.append(files[i].parent.name)
        if not images:
            raise ValueError(f"none of the images of {self.directory} can be decoded")
        return np.stack(images), folders


class File:
    """The arrays of an .npz file, such as `train.evaluate --examples_out` writes.

    `images` are numbers of 0..255 [n, height, width, channels], of the network's size and not
    normalized; `labels`, which may be missing, are indices of the network's labels [n].

    Args:
        file: the .npz file.

    Raises:
        ValueError: if it is not such a file, or holds fewer than two images.
        OSError: if it cannot be read.
    """

    def __init__(self, file: Path) -> None:
        self.file = file.expanduser()
        self._images, self._labels = _arrays(self.file)
        if self._images.ndim != 4 or not np.issubdtype(self._images.dtype, np.number):
            raise ValueError(
                f"images of {file} must be numbers [n, height, width, channels], got"
                f" {self._images.dtype} {list(self._images.shape)}"
            )
        count = len(self._images)
        if count < 2:
            raise ValueError(
                f"{file} needs two images, one to calibrate and one to compare, got {count}"
            )
        if self._labels is None:
            return
        if self._labels.shape != (count,) or not np.issubdtype(self._labels.dtype, np.integer):
            raise ValueError(
                f"labels of {file} must be one integer per image [{count}], got"
                f" {self._labels.dtype} {list(self._labels.shape)}"
            )

    def __str__(self) -> str:
        return str(self.file)

    def to_calibrate(self, manifest: Manifest, count: int = COUNT) -> Array:  # noqa: ARG002
        """Returns the first, third, fifth ... image, spread over the whole file.

        Args:
            manifest: of the network; images already have its size.
            count: the most images to return.

        Returns:
            float32 of 0..255 [n, height, width, channels], n at most `count`.
        """
        images = self._images[CALIBRATE]
        return images[_spread(len(images), count)].astype(np.float32)

    def to_compare(self, manifest: Manifest, count: int = COUNT) -> tuple[Array, Array | None]:
        """Returns the second, fourth, sixth ... image, and their classes.

        Args: see `to_calibrate`.

        Returns:
            Images as `to_calibrate` does, and the index of each image's label, integer [n]; None
            in its place if the file has no labels, or the network has only one.

        Raises:
            ValueError: for a label that is not an index of the network's labels.
        """
        images = self._images[COMPARE]
        chosen = _spread(len(images), count)
        pixels = images[chosen].astype(np.float32)
        known = len(manifest.labels)
        if self._labels is None or known == 1:
            return pixels, None
        lowest = self._labels.min()
        highest = self._labels.max()
        if lowest < 0 or highest >= known:
            raise ValueError(
                f"labels of {self.file} must be indices of the network's {known} labels, got"
                f" {lowest}..{highest}"
            )
        return pixels, self._labels[COMPARE][chosen]


def check(images: Array, name: str, manifest: Manifest) -> None:
    """Refuses images from which neither ranges nor choices can be learned.

    Args:
        images: float32 [n, height, width, channels].
        name: what the error calls them.
        manifest: of the network that they are for.

    Raises:
        ValueError: if they are not of the network's size, if pixels are outside 0..255 or look
            divided by 255, and if every image has a single shade.
    """
    shape = manifest.image_shape
    if images.ndim != 4 or images.shape[1:] != shape or not len(images):
        wanted = ", ".join(map(str, shape))
        raise ValueError(f"{name} must have the shape (n, {wanted}), got {images.shape}")
    lowest = float(images.min())
    highest = float(images.max())
    if not (lowest >= 0 and highest <= 255):  # also refuses NaN
        raise ValueError(f"{name} must have pixels of 0..255, got {lowest:g}..{highest:g}")
    contrast = float((images.max((1, 2, 3)) - images.min((1, 2, 3))).max())
    if contrast >= CONTRAST:
        return
    if highest <= 1 and contrast > 0:
        raise ValueError(
            f"{name} must have pixels of 0..255, got {lowest:g}..{highest:g}: are they divided"
            " by 255?"
        )
    raise ValueError(f"{name} show nothing: each of the {len(images)} has one shade")


def _arrays(file: Path) -> tuple[Array, Array | None]:
    """Returns `images` and, if there are any, `labels` of an .npz file."""
    with file.open("rb") as stream:
        if not zipfile.is_zipfile(stream):
            raise ValueError(f"{file} is not an .npz file")
        stream.seek(0)
        try:
            with np.load(stream, allow_pickle=False) as archive:
                return archive["images"], archive.get("labels")
        except KeyError as error:
            raise ValueError(f"{file} has no array named images") from error
        except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(f"{file} cannot be read as an .npz file: {error}") from error


def _spread(size: int, count: int) -> Array:
    """Returns at most `count` of the indices 0..size - 1, evenly: neighbours show the same."""
    return np.linspace(0, size - 1, min(count, size)).round().astype(int)


def _classes(names: Sequence[str], known: Sequence[str]) -> Array | None:
    """Returns the indices of names among the labels of a network; None if one is not a label."""
    if len(known) == 1:
        return None
    distinct = list(dict.fromkeys(names))
    try:
        places = dict(zip(distinct, labels.places(distinct, known), strict=True))
    except ValueError:
        return None
    return np.array([places[name] for name in names])
