"""What Torch and NumPy write is what comes out, and views that reach elsewhere are refused."""

import pickle
import warnings
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from keras_resnet.weights.formats.containers import opened
from tests.support import opcodes
from tests.support.opcodes import put, state, storage, tensor

DTYPES = (
    "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool".split()  # noqa: SIM905
)
BASE = torch.arange(60, dtype=torch.float32).reshape(3, 4, 5)
formats = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


def read(file: Path) -> dict[str, np.ndarray]:
    with opened(file) as container:
        return {name: tensor.read() for name, tensor in container.tensors.items()}


def save(content, file: Path, zipped: bool) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its typed storages are deprecated, and written
        torch.save(content, file, _use_new_zipfile_serialization=zipped)
    return file


def views() -> dict[str, torch.Tensor]:
    """Tensors that begin in a storage, skip in it, turn it around, share it or repeat it."""
    return {
        "offset": BASE[1:],
        "column": BASE[:, 1, 2],
        "turned": BASE.permute(2, 0, 1),
        "steps": BASE[::2, 1::2, ::3],
        "repeated": BASE[0, 0].expand(3, 5),
        "scalar": BASE[2, 3, 4],
        "empty": BASE[:0],
        "empty inside": torch.zeros(2, 0, 3),
        "whole": BASE,
        "alone": torch.tensor(3.5),
    }


CONTENTS = {
    "dtypes": {
        name: (BASE[0] % 2 if name == "bool" else BASE).to(getattr(torch, name)) for name in DTYPES
    },
    "views": views(),
    "parameter": {"a": torch.nn.Parameter(BASE[:1]), "b": torch.nn.Parameter(BASE, False)},
    "ordered": OrderedDict(views()),
    "module": torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).state_dict(),
}


@formats
@pytest.mark.parametrize("name", CONTENTS)
def test_tensors_are_those_of_torch_load(name: str, zipped: bool, tmp_path) -> None:
    file = save(CONTENTS[name], tmp_path / "a.pth", zipped)
    expected = torch.load(file, weights_only=True)
    found = read(file)
    assert list(found) == list(expected)
    for key, value in expected.items():
        assert found[key].shape == tuple(value.shape)
        if key in DTYPES:
            assert str(found[key].dtype) == key
        np.testing.assert_array_equal(found[key].astype(float), value.detach().double().numpy())


@formats
@pytest.mark.parametrize("place", ["state_dict", "model", "model_ema", "state_dict_ema"])
def test_weights_are_found_in_checkpoints(place: str, zipped: bool, tmp_path) -> None:
    state = {"a": BASE, "b": BASE[1]}
    around = {
        "epoch": 3,
        "best": 71.5,
        "arch": "resnet18",
        "done": True,
        "lr": [0.1, None],
        "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}, "groups": [{"lr": 0.1}]},
        place: state,
    }
    found = read(save(around, tmp_path / "a.pth", zipped))
    assert list(found) == ["a", "b"]
    np.testing.assert_array_equal(found["b"], state["b"].numpy())


@formats
def test_averaged_weights_are_preferred(zipped: bool, tmp_path) -> None:
    content = {"state_dict": {"a": BASE}, "state_dict_ema": {"a": BASE + 1}, "model": {"a": BASE}}
    found = read(save(content, tmp_path / "a.pth", zipped))
    np.testing.assert_array_equal(found["a"], BASE.numpy() + 1)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_prefixes_of_wrappers_are_dropped(prefix: str, tmp_path) -> None:
    state = {f"{prefix}{name}": BASE for name in ("conv1.weight", "fc.weight")}
    assert list(read(save(state, tmp_path / "a.pth", True))) == ["conv1.weight", "fc.weight"]
    half = {f"{prefix}a": BASE, "b": BASE}
    assert list(read(save(half, tmp_path / "b.pth", True))) == list(half)


ARRAYS = {
    **{
        name: np.arange(6).reshape(2, 3).astype(name)
        for name in ("<f4", ">f4", "<f8", ">f8", "f2", "<i8", ">i2", "u1", "?", "i1", ">u4")
    },
    "fortran": np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)),
    "turned": np.arange(24.0).reshape(2, 3, 4).transpose(2, 0, 1),
    "steps": np.arange(24)[::5],
    "scalar": np.array(3.5),
    "empty": np.zeros((0, 3)),
    "bytes": np.arange(256, dtype=np.uint8),
}


@pytest.mark.parametrize("place", [None, "blobs"])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_are_those_of_pickle(protocol: int, place, tmp_path) -> None:
    beside = {"accuracy": np.float64(0.5), "epoch": 3}
    content = {place: ARRAYS, **beside} if place else {**ARRAYS, **beside}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, protocol))
    found = read(tmp_path / "a.pkl")
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


# What is wrong with a tensor whose storage holds four floats.
WILD = {
    "larger": tensor((5,), (1,)),
    "offset": tensor((4,), (1,), 1),
    "negative offset": tensor((2,), (1,), -1),
    "stride": tensor((2, 2), (3, 1)),
    "far stride": tensor((2,), (2**40,)),
    "far offset": tensor((1,), (1,), 2**62),
    "negative size": tensor((-1,), (1,)),
    "two negative sizes": tensor((-2, -2), (2, 1)),
    "negative stride": tensor((4,), (-1,), 3),
    "stride 0": tensor((2**40,), (0,)),
    "more of stride 0": tensor((8,), (0,)),
    "many of stride 0": tensor((2**31, 2**31), (0, 0)),
    "overflow": tensor((2**32, 2**32), (1, 1)),
    "float size": tensor((4.0,), (1,)),
    "bool size": tensor((True,), (1,)),
    "float offset": tensor((4,), (1,), 0.0),
    "no shape": tensor(4, 1),
    "text": tensor("4", "1"),
    "fewer strides": tensor((2, 2), (1,)),
    "no storage": tensor((4,), (1,), 0, put("0")),
    "a dtype": tensor((4,), (1,), 0, b"ctorch\nFloatStorage\n"),
    "smaller storage": tensor((4,), (1,), 0, storage(3)),
    "larger storage": tensor((4,), (1,), 0, storage(5)),
    "huge storage": tensor((4,), (1,), 0, storage(2**62)),
    "negative storage": tensor((0,), (1,), 0, storage(-4)),
    "other dtype": tensor((4,), (1,), 0, storage(4, "0", "Double")),
    "missing storage": tensor((4,), (1,), 0, storage(4, "1")),
    "elsewhere": tensor((4,), (1,), 0, storage(4, "../../a")),
    "number as name": tensor((4,), (1,), 0, storage(4, 0)),
    "quantized": tensor((4,), (1,), 0, storage(4, "0", "QInt8")),
}


@pytest.mark.parametrize("write", [opcodes.archive, opcodes.legacy], ids=["zip", "legacy"])
@pytest.mark.parametrize("name", WILD)
def test_views_stay_within_their_storage(name: str, write, tmp_path) -> None:
    file = write(tmp_path / "wild.pth", state(WILD[name]))
    with pytest.raises(ValueError, match=r"wild\.pth cannot be read"), opened(file):
        pass


@pytest.mark.parametrize("write", [opcodes.archive, opcodes.legacy], ids=["zip", "legacy"])
def test_what_is_wild_above_is_tame_otherwise(write, tmp_path) -> None:
    found = read(write(tmp_path / "a.pth", state(tensor(), tensor((2, 2), (0, 3)))))
    np.testing.assert_array_equal(found["a"], np.zeros(4, np.float32))
    assert found["b"].shape == (2, 2)


def test_one_storage_of_two_sizes_is_refused(tmp_path) -> None:
    both = state(tensor((4,), (1,)), tensor((8,), (1,), 0, storage(8)))
    for write in (opcodes.archive, opcodes.legacy):
        with pytest.raises(ValueError, match="storage"), opened(write(tmp_path / "a.pth", both)):
            pass


@pytest.mark.parametrize(
    ("keys", "storages"),
    [
        (put([]), b""),
        (put(["1"]), b""),
        (put(["0", "0"]), b""),
        (put(5), b""),
        (put({"0": 1}), bytes(8)),
        (put(["0"]), bytes(8) + bytes(16)),
        (put(["0"]), b"\xff" * 8 + bytes(16)),
        (put(["0"]), (4).to_bytes(8, "little") + bytes(15)),
        (put(["0"]), b"\4"),
    ],
)
def test_storages_of_old_files_are_all_there(keys, storages, tmp_path) -> None:
    file = opcodes.legacy(tmp_path / "old.pth", state(tensor()), keys, storages)
    with pytest.raises(ValueError, match=r"old\.pth cannot be read"), opened(file):
        pass


@pytest.mark.parametrize("order", [b"big", b"", b"\xff"])
def test_big_endian_archives_are_refused(order: bytes, tmp_path) -> None:
    file = opcodes.archive(tmp_path / "a.pth", state(tensor()), order)
    with pytest.raises(ValueError, match=r"a\.pth.*byte order"), opened(file):
        pass
    assert read(opcodes.archive(file, state(tensor()), None))["a"].shape == (4,)


def test_views_of_storages_are_refused(tmp_path) -> None:
    """As Torch 0.3 wrote them; no file that this package is for is so old."""
    view = tensor((4,), (1,), 0, storage(4, "0", "Float", put(("0", 0, 4))))
    file = opcodes.legacy(tmp_path / "a.pth", state(view))
    with pytest.raises(ValueError, match="view of another"), opened(file):
        pass
