"""Data sets whose images are broken in all the ways that disks, people and networks have."""

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf
from PIL import Image

from tests.support import helpers


def zipped(file: Path) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("image.png", b"hello")


def headless(file: Path) -> None:
    """Says that it has 100,000 x 100,000 pixels."""
    data = file.read_bytes()
    file.write_bytes(data[:16] + (100_000).to_bytes(4, "big") * 2 + data[24:])


def half(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


DAMAGES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "empty": (".png", lambda file: file.write_bytes(b"")),
    "half a PNG": (".png", half),
    "half a JPEG": (".jpg", half),
    "text": (".jpg", lambda file: file.write_text("hello")),
    "zip": (".png", zipped),
    "too large": (".png", headless),
}


def folders(root: Path) -> tuple[Path, Path, list[str]]:
    """A folder of whole images, one in which each kind of damage is done to one, and which."""
    whole, damaged = root / "whole", root / "damaged"
    helpers.image_folder(whole / "train", 24, (40, 30))
    helpers.image_folder(whole / "test", 9, (40, 30), seed=1)
    for file in sorted(whole.rglob("*.png"))[::2]:
        Image.open(file).save(file.with_suffix(".jpg"), quality=95)
        file.unlink()
    shutil.copytree(whole, damaged)
    names = []
    for suffix, change in DAMAGES.values():
        files = sorted((damaged / "train").rglob(f"*{suffix}"))
        file = next(f for f in files if str(f) not in names)
        change(file)
        names.append(str(file))
    half(next((damaged / "test").rglob("*.png")))
    return whole, damaged, names


def tfds_sets(root: Path) -> tuple[str, str, list[str]]:
    """The same as records of TFDS, of which two are not whole."""
    for kind in ("whole", "damaged"):
        (root / kind).mkdir()
        helpers.tfds_set(root / kind, {"train": 24, "test": 9})
    names = []
    shards = sorted((root / "damaged").rglob("*train.tfrecord*"))
    for shard, number in ((shards[0], 3), (shards[2], 0)):
        rows = [bytes(row) for row in tf.data.TFRecordDataset(str(shard)).as_numpy_iterator()]
        example = tf.train.Example.FromString(rows[number])
        image = example.features.feature["image"].bytes_list
        image.value[0] = image.value[0][:40]
        rows[number] = example.SerializeToString()
        with tf.io.TFRecordWriter(str(shard)) as writer:
            for row in rows:
                writer.write(row)
        names.append(f"record {number} of {shard}")
    return str(root / "whole"), str(root / "damaged"), names
