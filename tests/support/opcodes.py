"""Pickles and Torch archives written opcode by opcode, as no honest program would."""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

from keras_resnet.weights.formats.torch_files import HEAD, PROTOCOL


def put(value: Any) -> bytes:
    """The opcodes that put a value on the stack, without a memo."""
    stream = io.BytesIO()
    pickler = pickle.Pickler(stream, 2)
    pickler.fast = True
    pickler.dump(value)
    return stream.getvalue()[2:-1]


def call(module: str, name: str, *arguments: bytes) -> bytes:
    return f"c{module}\n{name}\n(".encode() + b"".join(arguments) + b"tR"


def whole(body: bytes) -> bytes:
    return b"\x80\x02" + body + b"."


def deep(levels: int = 100_000) -> bytes:
    """A tuple in a tuple in a tuple: what recurses over it exhausts the C stack."""
    return b")" + b"\x85" * levels


def laughs(levels: int = 40) -> bytes:
    """A tuple of 2 ** levels leaves that takes a few bytes: what copies or prints it never ends."""
    return put("ha") + b"".join(
        b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(levels)
    )


def storage(count: Any = 4, name: Any = "0", dtype: str = "Float", *rest: bytes) -> bytes:
    parts = put("storage") + f"ctorch\n{dtype}Storage\n".encode() + put(name) + put("cpu")
    return b"(" + parts + put(count) + b"".join(rest) + b"tQ"


def tensor(size: Any = (4,), stride: Any = (1,), offset: Any = 0, of: bytes | None = None) -> bytes:
    """A view of a storage; `bytes` stand for themselves."""
    numbers = [
        value if isinstance(value, bytes) else put(value) for value in (offset, size, stride)
    ]
    body = [storage() if of is None else of, *numbers, b"\x89", b"}"]
    return call("torch._utils", "_rebuild_tensor_v2", *body)


def state(*tensors: bytes, **named: bytes) -> bytes:
    """A pickled state dict of tensors, which are called a, b, c if they have no names."""
    named = dict(zip("abcdef", tensors, strict=False)) | named
    items = b"".join(put(name) + value + b"s" for name, value in named.items())
    return whole(b"}" + items)


def archive(
    file: Path, content: bytes, byteorder: bytes | None = b"little", **members: bytes
) -> Path:
    """A zip of `torch.save`; without members it holds one storage of four floats."""
    with zipfile.ZipFile(file, "w") as target:
        target.writestr("archive/data.pkl", content)
        if byteorder is not None:
            target.writestr("archive/byteorder", byteorder)
        for name, value in (members or {"0": bytes(16)}).items():
            target.writestr(f"archive/data/{name}", value)
    return file


def legacy(file: Path, content: bytes, keys: bytes = put(["0"]), storages: bytes = b"") -> Path:
    """A file of `torch.save` before Torch 1.6; by default with one storage of four floats."""
    storages = storages or (4).to_bytes(8, "little") + bytes(16)
    sizes = whole(b"}")
    file.write_bytes(HEAD + whole(put(PROTOCOL)) + sizes + content + whole(keys) + storages)
    return file


def plain(file: Path, content: bytes) -> Path:
    file.write_bytes(content)
    return file


WAYS = {"plain.pkl": plain, "zip.pth": archive, "legacy.pth": legacy}
