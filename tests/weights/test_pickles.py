"""Pickles that want to run something, or to break what reads them."""

import argparse
import copyreg
import functools
import io
import pickle
import struct
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from keras_resnet.weights.formats import numpy_files, pickles, torch_files
from keras_resnet.weights.formats.containers import opened
from tests.support import opcodes
from tests.support.opcodes import WAYS, call, put, state, tensor, whole

EXTENSION = 0xF0
CANARY = "canary"  # appears in the working directory when a payload runs
TOUCH = put(f"touch {CANARY}")
CODE = f"open({CANARY!r}, 'w').close()"
PYTHON = put(CODE)


class Calls:
    """Is pickled as a call."""

    def __init__(self, function, *arguments) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def short(text: str) -> bytes:
    return b"\x8c" + bytes([len(text)]) + text.encode()


# Each makes the canary when Python's own pickle reads it.
LIVE = {
    "global": whole(call("os", "system", TOUCH)),
    "global posix": whole(call("posix", "system", TOUCH)),
    "stack global": b"\x80\x04" + short("os") + short("system") + b"\x93" + TOUCH + b"\x85R.",
    "inst": b"(" + TOUCH + b"ios\nsystem\n.",
    "obj": b"(cos\nsystem\n" + TOUCH + b"o.",
    "eval": whole(call("builtins", "eval", PYTHON)),
    "python 2": whole(call("__builtin__", "eval", PYTHON)),
    "exec": whole(call("builtins", "exec", PYTHON)),
    "nested": b"\x80\x04" + short("os") + short("path.os.system") + b"\x93" + TOUCH + b"\x85R.",
    "nested torch": b"\x80\x04" + short("torch") + short("os.system") + b"\x93" + TOUCH + b"\x85R.",
    "extension 1": b"\x80\x02\x82" + bytes([EXTENSION]) + TOUCH + b"\x85R.",
    "extension 2": b"\x80\x02\x83" + struct.pack("<H", EXTENSION) + TOUCH + b"\x85R.",
    "extension 4": b"\x80\x02\x84" + struct.pack("<i", EXTENSION) + TOUCH + b"\x85R.",
    "new object": whole(
        b"ctypes\nMethodType\ncbuiltins\neval\n"
        + PYTHON
        + b"\x86\x810"
        + call("builtins", "eval", PYTHON)
    ),
    "build": whole(
        call("argparse", "Namespace") + b"}" + put("a") + call("os", "system", TOUCH) + b"sb"
    ),
    "after tensors": state(a=put(1), b=call("os", "system", TOUCH)),
    "reduce": pickle.dumps(Calls(eval, CODE), 2),
    "reduce inside": pickle.dumps({"state_dict": {"a": [Calls(eval, CODE)]}}),
    "as a key": whole(b"}" + call("os", "system", TOUCH) + put(1) + b"s"),
    "thrown away": whole(call("os", "system", TOUCH) + b"0}"),
    "after a protocol": b"\x80\x00\x80\x02" + whole(call("os", "system", TOUCH)),
}
# Objects of classes that are not built, though they would do no harm.
OBJECTS = {
    "namespace": argparse.Namespace(lr=0.1),
    "function": np.mean,
    "partial": functools.partial(int, "3"),
    "path": Path("a"),
    "exception": ValueError("a"),
    "objects": np.array([None, "a"], object),
    "texts": np.array(["a", "b"]),
    "records": np.zeros(2, [("a", "f4"), ("b", "i4")]),
    "dates": np.zeros(2, "datetime64[s]"),
    "complex": np.zeros(2, complex),
}


@pytest.fixture(autouse=True)
def canary(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    copyreg.add_extension("os", "system", EXTENSION)
    try:
        yield tmp_path / CANARY
    finally:
        copyreg.remove_extension("os", "system", EXTENSION)


@pytest.mark.parametrize("name", LIVE)
def test_payloads_are_live(name: str, canary) -> None:
    """Otherwise the test below would show nothing."""
    with suppress(TypeError, AttributeError):  # some are no objects in the end, after they ran
        pickle.loads(LIVE[name])
    assert canary.is_file()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", LIVE)
def test_nothing_is_run(name: str, way: str, tmp_path, canary) -> None:
    file = WAYS[way](tmp_path / way, LIVE[name])
    with pytest.raises(ValueError, match=rf"{way} cannot be read: "), opened(file):
        pass
    assert not canary.exists()


@pytest.mark.parametrize("write", [opcodes.archive, opcodes.legacy], ids=["zip", "legacy"])
@pytest.mark.parametrize("name", [name for name in LIVE if "extension" not in name])
def test_nothing_beside_tensors_is_run(name: str, write, tmp_path, canary) -> None:
    """What stands beside weights harms nobody, and stands for nothing."""
    body = LIVE[name].removeprefix(b"\x80\x00").removeprefix(b"\x80\x02").removeprefix(b"\x80\x04")
    with opened(write(tmp_path / "a.pth", state(a=tensor(), b=body.removesuffix(b".")))) as file:
        assert list(file.tensors) == ["a"]
        np.testing.assert_array_equal(file.tensors["a"].read(), np.zeros(4))
    assert not canary.exists()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", OBJECTS)
def test_objects_are_no_weights(name: str, way: str, tmp_path) -> None:
    content = {"state_dict": {"a": OBJECTS[name]}, "blobs": {"a": OBJECTS[name]}}
    for protocol in (0, 2, 3, 4, 5):
        file = WAYS[way](tmp_path / way, pickle.dumps(content, protocol))
        with pytest.raises(ValueError, match=rf"{way} cannot be read"), opened(file):
            pass


@pytest.mark.parametrize("legacy", [True, False], ids=["legacy", "zip"])
def test_whole_modules_are_refused(legacy: bool, tmp_path) -> None:
    import torch

    file = tmp_path / "whole.pth"
    torch.save(torch.nn.Linear(2, 3), file, _use_new_zipfile_serialization=not legacy)
    told = r"whole\.pth cannot be read: it contains a pickled module, torch\.nn\.modules\.linear"
    with pytest.raises(ValueError, match=told + r"\.Linear, whose code.*state_dict"), opened(file):
        pass


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("torch", "Size.__class__"),
        ("collections", "OrderedDict.__init__"),
        ("torch._utils", "_rebuild_tensor_v2.__globals__"),
        ("torch", "storage._load_from_bytes"),
        ("torch.storage", "_load_from_bytes"),
        ("torch", "load"),
        ("torch._utils", "_rebuild_tensor_v3"),
        ("numpy", "ndarray.tofile"),
        ("numpy", "load"),
        ("numpy.core.multiarray", "fromfile"),
        ("numpy", "fromfile"),
        ("numpy.core", "multiarray"),
        ("_codecs", "decode"),
        ("builtins", "getattr"),
        ("keras_resnet.weights.formats.pickles", "Call"),
        ("", ""),
    ],
)
def test_names_are_those_of_tensors_alone(module: str, name: str) -> None:
    """Each of the others stands for itself, called or not."""
    for body in (f"c{module}\n{name}\n".encode(), short(module) + short(name) + b"\x93"):
        for end in (b"", b")R", b")\x81", b")}\x92"):
            for names in (torch_files.NAMES, numpy_files.NAMES):
                found = pickles.load(io.BytesIO(whole(body + end)), names)
                assert type(found) is pickles.Unknown
                assert found.kind == f"{module}.{name}"


@pytest.mark.parametrize(
    "body",
    [
        call("torch", "FloatStorage"),
        call("numpy", "ndarray", put((3,))),
        put("system") + b"(" + TOUCH + b"tR",
        put(print.__name__) + b")R",
        b"ccollections\nOrderedDict\n" + put("a") + b"R",
        call("collections", "OrderedDict", put([("a", 1)])),
    ],
)
def test_only_functions_of_tensors_are_called(body: bytes, tmp_path) -> None:
    for way, write in WAYS.items():
        with pytest.raises(ValueError, match=way), opened(write(tmp_path / way, whole(body))):
            pass


def test_attributes_of_dictionaries_are_left_out() -> None:
    names = {"collections.OrderedDict": pickles.Call(dict)}
    body = call("collections", "OrderedDict") + put("a") + put(1) + b"s}" + put("_metadata")
    found = pickles.load(io.BytesIO(whole(body + b"}sb")), names)
    assert found == {"a": 1}
