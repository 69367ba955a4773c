"""Files that are no weights, archives that inflate, and headers that lie."""

import io
import json
import os
import struct
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.support import hostile, opcodes, samples
from tests.support.opcodes import call, put, state, storage, tensor, whole

Write = Callable[[Path], Path]
NOBODY = 65_534
BOMB = 256 << 20  # bytes of zeros
BRACKETS = "[" * 200_000
HEADER = "{{'descr': {}, 'fortran_order': {}, 'shape': {}}}"


def holding(content: bytes | str) -> Write:
    return lambda file: opcodes.plain(
        file, content.encode() if isinstance(content, str) else content
    )


def zipped(**members: bytes | int) -> Write:
    """Writes an archive; a number stands for as many zeros, deflated."""

    def write(file: Path) -> Path:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for name, content in members.items():
                with archive.open(name, "w", force_zip64=True) as member:
                    for _ in range(0, content if isinstance(content, int) else 0, 1 << 20):
                        member.write(bytes(1 << 20))
                    member.write(b"" if isinstance(content, int) else content)
        return file

    return write


def keras_file(**changed: bytes | int) -> Write:
    """Replaces members of a good `.keras`."""

    def write(file: Path) -> Path:
        with zipfile.ZipFile(samples.native(file)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        return zipped(**{**members, **{n.replace("__", "."): c for n, c in changed.items()}})(file)

    return write


def npy(descr: str = "'<f4'", order: str = "False", shape: str = "(2,)", size: int = 8) -> bytes:
    return npy_text(HEADER.format(descr, order, shape), bytes(size))


def npy_text(header: str, content: bytes = b"", version: int = 1) -> bytes:
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header.encode("latin-1") + content


def npz_file(content: bytes | int) -> Write:
    """Puts something in the place of one array."""

    def write(file: Path) -> Path:
        arrays = {}
        for name, value in samples.arrays("robinc94").items():
            np.save(stream := io.BytesIO(), value)
            arrays[f"{name}.npy"] = stream.getvalue()
        return zipped(**{**arrays, "conv1/kernel.npy": content})(file)

    return write


def safetensors(header: str | dict, content: bytes = bytes(8), length: int | None = None) -> Write:
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    size = len(text) if length is None else length
    return holding(struct.pack("<Q", size) + text + content)


def entry(begin: int = 0, end: int = 8, shape: object = (2,), dtype: str = "F32") -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def net(*layers: bytes) -> Write:
    return holding(samples.field(1, "ResNet") + b"".join(layers))


def repeated_text(times: int = 2_000) -> bytes:
    """Arrays that are each decoded from one text, which stands in the file once."""
    text = put("\xff" * 1_000_000) + b"q\1" + put("latin1") + b"q\0"
    each = b"c_codecs\nencode\nh\1h\0\x86R"
    return whole(text + b"0" + b"0" + b"](" + each * times + b"e")


def named(change: Callable[[Path], object]) -> Write:
    def write(file: Path) -> Path:
        change(file)
        return file

    return write


BLOB = samples.blob(np.zeros((4, 3, 7, 7)))
BIG = BOMB // 4
CASES: dict[str, Write] = {
    "empty.keras": holding(b""),
    "text.pth": holding("These are no weights.\n" * 99),
    "newlines.caffemodel": holding("\n" * 5_000),
    "page.pth": holding("<!DOCTYPE html>\n<html><head><title>404</title></head></html>"),
    "page.npz": holding("\n\n<html>404</html>"),
    "error.safetensors": holding('{"error": "Repository not found"}'),
    "pointer.safetensors": holding("version https://git-lfs.github.com/spec/v1\noid sha256:1\n"),
    "picture.h5": holding(b"\x89PNG\r\n\x1a\n" + bytes(500)),
    "model.tflite": holding(b"\x1c\0\0\0TFL3" + bytes(500)),
    "tar.pth": holding(b"sys_info" + bytes(92) + b"0000644\0" + bytes(1000)),
    "archive.gz": holding(b"\x1f\x8b\x08\0" + bytes(99)),
    "one.npy": holding(npy()),
    "magic.h5": holding(b"\x89HDF\r\n\x1a\n"),
    "magic.zip": holding(b"PK\3\4"),
    "spanned.zip": holding(b"PK\7\x08" + bytes(99)),
    "nothing.zip": zipped(),
    "other.zip": zipped(**{"readme.txt": b"hello"}),
    "two.pth": zipped(**{"a/data.pkl": state(), "b/data.pkl": state()}),
    "folder.keras": named(Path.mkdir),
    "pipe.keras": named(os.mkfifo),
    "loop.keras": named(lambda file: file.symlink_to(file)),
    "gone.keras": named(lambda file: file.symlink_to("nowhere")),
    "device.keras": named(lambda file: file.symlink_to("/dev/zero")),
    "bomb.keras": keras_file(model__weights__h5=BOMB),
    "config_bomb.keras": keras_file(config__json=BOMB),
    "config_deep.keras": keras_file(config__json=BRACKETS.encode()),
    "config_deep_objects.keras": keras_file(config__json=b'{"config":' * 100_000),
    "config_list.keras": keras_file(config__json=b"[]"),
    "config_text.keras": keras_file(config__json=b'{"config": "a"}'),
    "config_number.keras": keras_file(config__json=b'{"config": {"manifest": 7}}'),
    "config_digits.keras": keras_file(config__json=b'{"config": ' + b"9" * 100_000 + b"}"),
    "config_bytes.keras": keras_file(config__json=b"\xff\xfe\xff"),
    "weights_text.keras": keras_file(model__weights__h5=b"no"),
    "bomb.npz": npz_file(BOMB),
    "claims.npz": npz_file(npy(shape=f"({2**40},)")),
    "negative.npz": npz_file(npy(shape="(-2, -1)")),
    "objects.npz": npz_file(npy("'|O'")),
    "texts.npz": npz_file(npy("'<U1'")),
    "records.npz": npz_file(npy("[('a', '<f4')]")),
    "zeros.npz": npz_file(npy("'|V0'", "False", f"({2**60},)", 0)),
    "float_shape.npz": npz_file(npy(shape="(2.0,)")),
    "bool_shape.npz": npz_file(npy(shape="(True, 2)")),
    "long_shape.npz": npz_file(npy(shape=str((1,) * 3_000))),
    "digits_shape.npz": npz_file(npy(shape=f"({'9' * 5_000},)")),
    "expression.npz": npz_file(npy(shape="(__import__('os').getpid(),)")),
    "open.npz": npz_file(npy_text("{'descr': ('<f4'")),
    "quoted.npz": npz_file(npy_text("{'descr': '''")),
    "indented.npz": npz_file(npy_text("  {\n 'a'\n  1")),
    "deep.npz": npz_file(npy_text("(" * 9_000)),
    "nothing.npz": npz_file(npy_text("")),
    "version_2.npz": npz_file(npy_text(HEADER.format("'<f4'", "False", "(2,)"), bytes(8), 2)),
    "no_magic.npz": npz_file(b"text"),
    "storage_bomb.pth": zipped(**{"a/data.pkl": state(tensor(of=storage(BIG))), "a/data/0": BOMB}),
    "pickle_bomb.pth": zipped(**{"a/data.pkl": BOMB}),
    "order_bomb.pth": zipped(**{"a/data.pkl": state(), "a/byteorder": BOMB}),
    "texts.pkl": holding(repeated_text()),
    "deep_numpy.pkl": holding(whole(call("numpy", "dtype", put("f4") * 3))),
    "length.safetensors": safetensors({"a": entry()}, length=2**63),
    "long.safetensors": safetensors({"a": entry()}, length=10_000),
    "short.safetensors": safetensors({"a": entry()}, length=10),
    "deep.safetensors": safetensors('{"a":' + BRACKETS),
    "huge.safetensors": safetensors({"a": entry(0, 2**60, (2**58,))}),
    "overflow.safetensors": safetensors({"a": entry(0, 8, (2**62, 2**62))}),
    "far.safetensors": safetensors({"a": entry(2**63, 2**63 + 8)}),
    "overlap.safetensors": safetensors({"a": entry(), "b": entry()}),
    "hole.safetensors": safetensors({"a": entry(), "b": entry(9, 17)}, bytes(17)),
    "backwards.safetensors": safetensors({"a": entry(8, 0)}),
    "negative.safetensors": safetensors({"a": entry(0, 8, (-2,))}),
    "dtype.safetensors": safetensors({"a": entry(0, 8, (2,), "F33")}),
    "same_name.safetensors": safetensors(
        f'{{"a": {json.dumps(entry())}, "a": {json.dumps(entry(8, 16))}}}', bytes(16)
    ),
    "null.safetensors": safetensors({"a": None}),
    "list.safetensors": safetensors("{}[1]"),
    "beyond.caffemodel": holding(b"\x0a\xff\xff\xff\xff\x07a"),
    "beyond_layer.caffemodel": net(samples.varint(100 << 3 | 2) + samples.varint(2**40)),
    "groups.caffemodel": net(b"\x0b" * 100_000),
    "deep.caffemodel": net(
        b"".join(samples.varint(100 << 3 | 2) + samples.varint(n) for n in range(60_000, 0, -7))
    ),
    "shape.caffemodel": net(
        samples.layer("conv1", "Convolution", samples.blob(np.zeros(4), (2**40, 2**20)))
    ),
    "negative.caffemodel": net(
        samples.layer("conv1", "Convolution", samples.blob(np.zeros(4), (2**64 - 2, 2**64 - 2)))
    ),
    "statistics.caffemodel": net(samples.layer("bn_conv1", "BatchNorm", BLOB)),
    "weights.caffemodel": net(samples.layer("bn_conv1", "BatchNorm", BLOB, BLOB, BLOB)),
    "name.caffemodel": net(samples.field(100, b"\x0a\2\xff\xfe")),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[str, hostile.Outcome]:
    folder = tmp_path_factory.mktemp("files")
    cases = [
        hostile.case(write(folder / name), "from_weights", name=name)
        for name, write in CASES.items()
    ]
    return {outcome.case["name"]: outcome for outcome in hostile.outcomes(folder, cases)}


@pytest.mark.parametrize("name", CASES)
def test_what_is_no_file_of_weights_is_refused(name: str, found) -> None:
    outcome = found[name]
    assert outcome.kind == "ValueError", str(outcome)
    assert not outcome.faults, str(outcome)


@pytest.mark.parametrize("name", ["a" * 5_000, "a\0b", "~nobody-of-this-name/a.keras", ""])
def test_impossible_paths_are_refused(name: str) -> None:
    for call_it in (samples.resnet.from_weights, samples.weights.read_manifest):
        with pytest.raises(ValueError, match=r"weights|cannot be read"):
            call_it(name)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Has root, who may read everything, be nobody for a while."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


def test_unreadable_files_are_refused() -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own is closed to others altogether
        Path(folder).chmod(0o755)
        file = samples.native(Path(folder) / "a.keras")
        samples.resnet.from_weights(file)  # well, and with all that it imports
        file.chmod(0)
        with unprivileged(), pytest.raises(ValueError, match=r"a\.keras cannot be read"):
            samples.resnet.from_weights(file)
