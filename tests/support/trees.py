"""Small folders of images, and an oracle for what is held out of them."""

import hashlib
import io
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from PIL import Image

from train.datasets.examples import Examples

KINDS = {"PNG": "PNG", "JPEG": "JPEG", "WEBP": "WebP", "BMP": "BMP", "GIF": "GIF", "TIFF": "TIFF"}


@cache
def picture(kind: str = "PNG", level: int = 90) -> bytes:
    """The bytes of a file of one shade, as Pillow writes them."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (level,) * 3).save(file, kind)
    return file.getvalue()


def plant(root: Path, names: Iterable[str | bytes], content: bytes | None = None) -> Path:
    """Writes files by their path below a folder; returns the folder."""
    for name in names:
        path = os.path.join(os.fsencode(root), os.fsencode(name))  # noqa: PTH118
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
        with open(path, "wb") as file:  # noqa: PTH123
            file.write(picture() if content is None else content)
    return root


def classes(*names: str, count: int = 3) -> list[str]:
    """The names of `count` images in each of these folders."""
    return [f"{name}/{i}.png" for name in names for i in range(count)]


def held_out(files: Iterable[bytes]) -> set[bytes]:
    """The files of one class that are for testing, by the rule as the documentation says it."""
    ranks = {file: hashlib.sha256(file).hexdigest()[:16] for file in files}
    tenth = {file for file, rank in ranks.items() if int(rank, 16) / 2**64 < 0.1}
    return tenth | {min(ranks, key=lambda file: ranks[file])}


def by_class(examples: Examples) -> dict[str, set[bytes]]:
    """The files of a split by the name of their label, as they are decoded."""
    files: dict[str, set[bytes]] = {name: set() for name in examples.labels}
    for i, file in enumerate(examples.listing):
        _, label = examples.decode(i)
        assert examples.name(i).numpy().endswith(b"/" + file)
        files[examples.labels[int(label)]].add(file)
    assert len(examples.listing) == examples.size == sum(map(len, files.values()))
    assert examples.counts == tuple(map(len, files.values()))
    return files
