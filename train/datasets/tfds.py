"""Data sets of TensorFlow Datasets: opens them, prepares them if necessary, and finds their splits.

Opening a data set runs code of its authors, which may raise any exception; each becomes a
ValueError that a command can print.
"""

import difflib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from train.datasets import tfds_images

RETRIES = 2  # of a download; TFDS's ten retries take 200 seconds without a network
TIMEOUTS = (5, 20)  # seconds to connect, and to wait for the next part of a file
HELD_OUT = 10  # a set without any test split is tested on one example in so many
FIRST = 256  # examples that show the range of floats, or of labels
INFO = "dataset_info.json"
LEVELS = 3  # of folders: name/config/version, or downloads/extracted/folder


@dataclass(frozen=True)
class Part:
    """The examples of a split from `start` up to `stop`."""

    split: str
    start: int
    stop: int

    @property
    def size(self) -> int:
        return self.stop - self.start

    def __str__(self) -> str:
        return f"{self.split}[{self.start}:{self.stop}]"


def parts(builder: Any) -> tuple[dict[str, Part], tuple[str, ...]]:
    """Returns the examples for "train", "validation" and "test", and notes for the user.

    A set without a test split is tested on its validation split, as is usual for ImageNet, whose
    test images have no public labels. A set with a training split only is tested on its last
    tenth, because TFDS shuffles examples when it writes them. Missing splits are left out.

    Args:
        builder: of the data set.

    Raises:
        ValueError: if the only split is not shuffled.
    """
    sizes = {name: info.num_examples for name, info in builder.info.splits.items()}
    names = [name for name in ("train", "validation", "test") if name in sizes]
    found = {name: Part(name, 0, sizes[name]) for name in names}
    own = "test" in found and builder.name != "imagenet2012"
    if own or "train" not in found:
        return found, ()
    if "validation" in found:
        test = found.pop("validation")
        return {**found, "test": test}, ("tested on its validation split",)
    if len(sizes) > 1:
        return found, ()
    size = sizes["train"]
    kept = size - -(-size // HELD_OUT)
    if builder.info.disable_shuffling:
        raise ValueError(
            f"{builder.name} has no test split, only {sorted(sizes)}, and its examples are in"
            " order: no part of them can represent the others"
        )
    test = Part("train", kept, size)
    note = f"no test split: tested on the last {test.size:,} of {size:,} training examples"
    return {"train": Part("train", 0, kept), "test": test}, (note,)


def part_of(builder: Any, name: str) -> Part:
    """Returns the examples for "train", "validation" or "test"; see `parts`.

    Raises:
        ValueError: if there are none.
    """
    found = parts(builder)[0].get(name)
    if not found or not found.size:
        what = "an empty" if found else "no"
        raise ValueError(
            f"{builder.name} has {what} {name} split, only {sorted(builder.info.splits)}"
        )
    return found


@cache
def decoder(builder: Any) -> tfds_images.Decoder:
    """Returns the decoder of the images of a data set, the same for all splits.

    Raises:
        ValueError: if the images cannot be used.
    """
    part = next(part for part in parts(builder)[0].values() if part.size)

    def first() -> Iterator[Any]:
        split = str(Part(part.split, part.start, min(part.stop, part.start + FIRST)))
        rows = builder.as_dataset(split=split, shuffle_files=False)
        return (row["image"] for row in rows.as_numpy_iterator())

    try:
        return tfds_images.decoder(builder.info.features["image"], first)
    except ValueError as error:
        raise ValueError(f"{builder.name} cannot be used: {error}") from error


@cache
def opened(name: str, data_dir: str | None = None) -> Any:
    """Returns the builder of a data set, which TFDS downloads and prepares if necessary.

    Args:
        name: such as "cifar10" or, with a configuration and a version, "name/config:1.0.0".
        data_dir: the folder of all data sets; by default that of TFDS.

    Raises:
        ValueError: naming the set, the folder, and why it cannot be opened or prepared. The files
            of a failed preparation are removed, except for complete downloads.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise ValueError(f"{name} needs: pip install 'he-keras-resnet[train]'") from error
    unknown = (tfds.core.DatasetNotFoundError, tfds.core.registered.DatasetNotFoundError)
    base = re.split("[:/]", name)[0]
    place = None
    if data_dir is not None:
        place = Path(data_dir).expanduser().resolve()
        _check_place(base, place)
    try:
        builder = tfds.builder(name, data_dir=place and str(place))
    except unknown as error:
        near = difflib.get_close_matches(base, tfds.list_builders())
        hint = f"; similar names: {', '.join(near)}" if near else ""
        raise ValueError(
            f"dataset must be 'digits', 'folder' or one of TFDS, got {name!r}"
            f"{_other_versions(base, place) or hint}"
        ) from error
    except Exception as error:
        raise ValueError(
            f"TFDS cannot open {name!r}: {_first_line(error)}{_other_versions(base, place)}"
        ) from error
    if not builder.data_path.exists():
        _prepare(builder)
    if not builder.info.splits:
        raise ValueError(
            f"{builder.data_dir} is not a complete data set: {INFO} is missing, or lists no"
            " splits; remove the folder and prepare it again"
        )
    return builder


def _check_place(base: str, place: Path) -> None:
    """Refuses a folder inside a data set in place of the folder of all data sets."""
    for folder in (place, *place.parents[:2]):
        if folder.name == base and not (place / base).is_dir() and _prepared(folder.parent, base):
            raise ValueError(
                f"data_dir must be the folder that holds {base}/, which is {folder.parent}; got"
                f" {place}"
            )


def _prepared(place: Path, base: str) -> list[str]:
    """Returns the prepared configurations and versions of a data set, by TFDS's names."""
    folder = place / base
    files = [*folder.glob(f"*/{INFO}"), *folder.glob(f"*/*/{INFO}")]
    found = sorted(file.parent.relative_to(folder).parts for file in files)
    return ["/".join([base, *config]) + f":{version}" for *config, version in found]


def _other_versions(base: str, place: Path | None) -> str:
    found = _prepared(place, base) if place else []
    return f"; {place} has {', '.join(found)}" if found else ""


def _prepare(builder: Any) -> None:
    root = Path(builder.data_dir_root)
    before = _listed(root, builder.name)
    try:
        with _few_retries():
            builder.download_and_prepare()
    except BaseException as error:
        _remove(_listed(root, builder.name) - before)
        if not isinstance(error, Exception):
            raise
        raise ValueError(
            f"{builder.name} {builder.version} is not prepared in {builder.data_dir}, and TFDS"
            f" cannot do it: {_first_line(error)}{_other_versions(builder.name, root)}; give"
            " --data_dir of a folder that holds it, prepared on a machine with a connection"
        ) from error


def _first_line(error: Exception) -> str:
    text = re.sub(r'^Failed to construct dataset ".*?", builder_kwargs ".*?": ', "", str(error))
    text = text.strip() or repr(error)
    if host := re.search(r"host='([^']+)'.*Max retries exceeded", text):
        return f"{host[1]} cannot be reached"
    first, _, others = text.partition("\n")
    return f"{first} {' '.join(others.split())[:300]}" if first.endswith(":") else first.strip()


@contextmanager
def _few_retries() -> Iterator[None]:
    """Makes TFDS give up within seconds if there is no network."""
    from tensorflow_datasets.core.download import downloader

    retries = downloader.MAX_RETRIES
    open_url = downloader._open_url
    downloader.MAX_RETRIES = RETRIES
    downloader._open_url = partial(open_url, timeout=TIMEOUTS)
    try:
        yield
    finally:
        downloader.MAX_RETRIES = retries
        downloader._open_url = open_url


def _listed(root: Path, name: str) -> set[Path]:
    """Returns the paths to which a preparation may add, three levels deep: TFDS adds folders."""
    found = {root} if root.exists() else set()
    for folder in (root / name, root / "downloads"):
        for place, folders, files in os.walk(folder):
            found |= {Path(place), *(Path(place, file) for file in files)}
            if len(Path(place).relative_to(root).parts) == LEVELS:
                folders.clear()
    return found


def _remove(paths: set[Path]) -> None:
    """Removes files and folders, except for complete downloads, which have an INFO file."""
    for path in sorted(paths, key=lambda path: len(path.parts), reverse=True):
        complete = path.suffix == ".INFO" or path.with_name(f"{path.name}.INFO").exists()
        with suppress(OSError):
            if path.is_file() and not complete:
                path.unlink()
            elif path.is_dir() and ".tmp." in path.name:
                shutil.rmtree(path)
            elif path.is_dir():
                path.rmdir()
