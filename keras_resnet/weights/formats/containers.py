"""Opens files of weights; the format is recognized by the content, not by the name."""

import io
import json
import mmap
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import h5py
import numpy as np

from keras_resnet.manifest import ENTRY
from keras_resnet.weights.disk import digest
from keras_resnet.weights.formats import (
    caffe_files,
    hashed_names,
    hdf5_files,
    numpy_files,
    state_dicts,
    torch_files,
)
from keras_resnet.weights.formats.tensors import EXPANSION, Tensor, check_sizes

HDF5 = b"\x89HDF\r\n\x1a\n"
ZIP = b"PK\x03\x04"
CAFFE = (b"\x0a", b"\xa2\x06")  # tags of the name of a net, and of its first layer
HEADER_LIMIT = 100_000_000  # bytes; the limit of the safetensors library
MESSAGE_LIMIT = 500  # characters; names in a file have any length


@dataclass(frozen=True)
class Container:
    """An open file: its tensors and metadata."""

    path: Path
    tensors: dict[str, Tensor]
    manifest: str | None = None  # JSON, in files of this package
    config: dict[str, Any] = field(default_factory=dict)  # timm's config.json beside it
    keras: Any = None  # the configuration of the model, from files of Keras
    chosen: str = ""  # which of several sets of weights: "model_ema of model, model_ema"

    @property
    def sha256(self) -> str:
        """The hash of the file in hexadecimal digits; it is computed once."""
        return digest(self.path)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Converts all errors that libraries raise for a damaged file to ValueError."""
    try:
        yield
    except Exception as error:  # h5py, zipfile, zlib and protobuf raise many kinds
        told = str(error)[:MESSAGE_LIMIT] or type(error).__name__
        raise ValueError(f"{path} cannot be read: {told}") from error


class _Content(NamedTuple):
    """What a reader returns."""

    tensors: Any  # by name, or nested containers with tensors
    manifest: str | None = None
    config: dict[str, Any] = {}  # noqa: RUF012  never changed
    keras: Any = None


@contextmanager
def opened(path: Path, prefix: str | None = None) -> Iterator[Container]:
    """Opens a file; its tensors can be read until the context ends.

    Args:
        path: of the file.
        prefix: read only the tensors whose names begin with it, and remove it from them, such as
            "module.encoder_q."; by default prefixes that all names share are removed.

    Raises:
        ValueError: if it is missing, damaged, malicious, of an unknown format, if its hash is not
            that in its name, or if it contains several networks and none can be preferred.
    """
    if not _is_file(path):
        raise ValueError(f"no file of weights at {str(path)[:MESSAGE_LIMIT]!r}")
    with ExitStack() as stack:
        with reading(path):
            content = _open(path, stack)
            tensors, chosen = state_dicts.find(content.tensors, prefix)
            check_sizes(tensors.values(), path.stat().st_size)
        container = Container(
            path, tensors, content.manifest, content.config, content.keras, chosen
        )
        hashed_names.check(path, lambda: container.sha256)
        yield container


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long, or contains a null character
        return False


def _open(path: Path, stack: ExitStack) -> _Content:
    stream = stack.enter_context(path.open("rb"))
    start = stream.read(16)
    stream.seek(0)
    if start.startswith(HDF5):
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            hdf5_files.check_heaps(content)
        return _hdf5(stack, path)
    if start.startswith(ZIP):
        return _zip(path, stack)
    # Before pickles: the length at the beginning can look like the start of a pickle.
    if 0 < int.from_bytes(start[:8], "little") < HEADER_LIMIT and start[8:9] == b"{":
        return _Content(_safetensors(path, stack), config=_config(path))
    if start.startswith((b"\x80", b"(", b"}")):
        return _Content(_pickle(path, stream), config=_config(path))
    if start.startswith(CAFFE):
        return _Content(caffe_files.read(stream.read()))
    raise ValueError(
        "unknown format: it is not HDF5, .keras, .npz, torch.save, pickle, .safetensors or"
        " .caffemodel"
    )


def _hdf5(stack: ExitStack, content: Path | BinaryIO) -> _Content:
    file = stack.enter_context(h5py.File(content))
    manifest = hdf5_files.read_bytes(file, ENTRY).decode() if ENTRY in file else None
    config = hdf5_files.read_config(file)
    return _Content(hdf5_files.read(file), manifest, keras=config)


def _zip(path: Path, stack: ExitStack) -> _Content:
    archive = stack.enter_context(zipfile.ZipFile(path))
    names, size = archive.namelist(), path.stat().st_size
    inflated = sum(member.file_size for member in archive.infolist())
    if inflated > EXPANSION * size:
        raise ValueError(f"it has {size:,} bytes and would inflate to {inflated:,}")
    if "model.weights.h5" in names:
        content = archive.read("model.weights.h5")
        hdf5_files.check_heaps(content)
        whole = io.BytesIO(content)  # far faster to seek in than the archive
        config = json.loads(archive.read("config.json"))
        told = config.get("config", {}).get("manifest")
        tensors = _hdf5(stack, whole).tensors
        return _Content(tensors, told and json.dumps(told), keras=config)
    if any(name.endswith("data.pkl") for name in names):
        return _Content(torch_files.read_zip(archive), config=_config(path))
    if names and all(name.endswith(".npy") for name in names):
        return _Content(numpy_files.read_npz(archive))
    raise ValueError("it is a zip archive without weights")


def _pickle(path: Path, stream: BinaryIO) -> Any:
    if torch_files.begins(stream):
        return torch_files.read_legacy(stream, path.stat().st_size)
    stream.seek(0)
    return numpy_files.read_pickle(stream)


def _safetensors(path: Path, stack: ExitStack) -> dict[str, Tensor]:
    from safetensors import SafetensorError, safe_open

    try:
        file = stack.enter_context(safe_open(path, framework="numpy"))
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    return {name: Tensor(shape, _reader(file, name)) for name, shape in shapes.items()}


def _reader(file: Any, name: str) -> Any:
    return lambda: np.asarray(file.get_tensor(name))


def _config(path: Path) -> dict[str, Any]:
    """Returns timm's config.json from the same folder; {} without one."""
    file = path.with_name("config.json")
    if not file.is_file() or file.stat().st_size > 1_000_000:
        return {}
    content = json.loads(file.read_text(encoding="utf-8"))
    known = isinstance(content, dict) and ("architecture" in content or "pretrained_cfg" in content)
    return content if known else {}
