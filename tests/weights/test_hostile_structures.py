"""Tensors under the right names that are no network, and manifests that describe none."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from keras_resnet.manifest import ENTRY
from tests.support import hostile, samples

Write = Callable[[Path], Path]
BOMB = 256 << 20


def foreign(drop: str = "", source: str = "akamaster", **changes: np.ndarray) -> Write:
    """Changes tensors of a good file; a double underscore stands for a dot."""

    def write(file: Path) -> Path:
        from safetensors.numpy import save_file

        arrays = dict(samples.arrays(source))
        arrays.pop(drop, None)
        named = {name.replace("__", "."): np.ascontiguousarray(v) for name, v in changes.items()}
        save_file({**arrays, **named}, file)
        return file

    return write


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def changed(name: str, value: float, dtype: str = "f4") -> Write:
    """Changes one number of a tensor."""
    array = samples.arrays("akamaster")[name].astype(dtype)
    array.flat[-1] = value
    return foreign(**{name: array})


def blocks(*places: tuple[int, int]) -> Write:
    names = {
        f"layer{stage}.{block}.conv{i}.weight": zeros(1, 1, 3, 3)
        for stage, block in places
        for i in (1, 2)
    }
    return foreign(**names)


def huge(name: str, *shape: int) -> Write:
    """Claims numbers in our own format, where a file without chunks holds none of them."""

    def write(file: Path) -> Path:
        native = samples.native(file.with_suffix(".weights.h5"))
        layer, _, index = name.partition("/")
        with h5py.File(native, "a") as h5:
            [found] = [
                group["vars"]
                for group in h5["layers"].values()
                if group["vars"].attrs.get("name") == layer
            ]
            del found[index]
            found.create_dataset(
                index, shape, "f4", chunks=(1024,) * len(shape), compression="gzip"
            )
        return native

    return write


def storage_bomb(file: Path) -> Path:
    """The stem's kernel is a view of 256 MB of zeros, which take 1 MB of the file."""
    import zipfile

    from tests.support.opcodes import state, storage, tensor

    kernel = tensor((4, 3, 3, 3), (27, 9, 3, 1), 0, storage(BOMB // 4))
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        tensors = {"conv1.weight": kernel}
        with archive.open("a/data/0", "w") as member:
            for _ in range(BOMB >> 20):
                member.write(bytes(1 << 20))
        for i, (name, value) in enumerate(samples.arrays("akamaster").items(), 1):
            archive.writestr(f"a/data/{i}", value.tobytes())
            stride = tuple(step // 4 for step in value.strides)
            own = tensor(value.shape, stride, 0, storage(value.size, str(i)))
            tensors.setdefault(name, own)
        archive.writestr("a/data.pkl", state(**tensors))
    return file


MANY = {f"layer1.{i}.conv1.weight": zeros(1, 1, 1, 1) for i in range(50_000)}
STRUCTURES: dict[str, Write] = {
    "even kernel": foreign(conv1__weight=zeros(4, 3, 2, 2)),
    "oblong kernel": foreign(conv1__weight=zeros(4, 3, 3, 1)),
    "flat kernel": foreign(conv1__weight=zeros(4, 3, 3)),
    "no kernel": foreign(conv1__weight=zeros()),
    "no filters": foreign(conv1__weight=zeros(0, 3, 3, 3)),
    "no channels": foreign(conv1__weight=zeros(4, 0, 3, 3)),
    "no branch": foreign(**{"layer1.0.conv1.weight": zeros(0, 4, 3, 3)}),
    "fewer filters": foreign(**{"layer1.0.conv1.weight": zeros(3, 4, 3, 3)}),
    "no classes": foreign(linear__bias=zeros(0)),
    "one bias": foreign(linear__bias=zeros()),
    "other classes": foreign(linear__bias=zeros(11)),
    "flat classifier": foreign(linear__weight=zeros(160)),
    "longer statistics": foreign(bn1__running_mean=zeros(5)),
    "other second block": foreign(**{"layer2.0.conv1.weight": zeros(8, 4, 5, 5)}),
    "nan": changed("conv1.weight", math.nan),
    "infinite": changed("linear.bias", math.inf),
    "minus infinite": changed("layer2.0.bn1.running_mean", -math.inf),
    "beyond float32": changed("conv1.weight", 1e300, "f8"),
    "negative variance": changed("bn1.running_var", -0.5),
    "sum beyond float32": foreign(
        conv1__bias=np.full(4, -3e38, "f4"), bn1__running_mean=np.full(4, 3e38, "f4")
    ),
    "missing": foreign("layer2.0.bn1.weight"),
    "missing stem": foreign("conv1.weight"),
    "left over": foreign(extra=zeros(3)),
    "left over conv": foreign(**{"layer1.0.conv9.weight": zeros(3)}),
    "left over bias": foreign(**{"layer1.0.bn7.bias": zeros(3)}),
    "gap": foreign("layer2.0.conv1.weight", **{"layer2.5.conv1.weight": zeros(8, 4, 3, 3)}),
    "stage 0": blocks((0, 0)),
    "stage 100000": blocks((100_000, 0)),
    "stage 10**9": blocks((10**9, 0)),
    "block 10**9": blocks((1, 10**9)),
    "digits": foreign(**{f"layer{'9' * 5_000}.0.conv1.weight": zeros(1)}),
    "30 stages": blocks(*((stage, 0) for stage in range(4, 31))),
    "400 stages": blocks(*((stage, 0) for stage in range(4, 401))),
    "5,000 blocks": blocks(*((1, block) for block in range(1, 5_000))),
    "50,000 blocks": foreign(**MANY),
    "twice": foreign(**{"layer1.00.conv1.weight": zeros(4, 4, 3, 3)}),
    "twice of many": foreign(**MANY, **{"layer1.00.conv1.weight": zeros(1)}),
    "long names": foreign(**{"x" * 1_000_000: zeros(1)}),
    "2**40 numbers": huge("stem_conv1/0", 2**20, 2**20),
    "classes of millions": huge("logits/1", 4_000_000),
    "inflated storage": storage_bomb,
}


def told(text: str | bytes) -> Write:
    def write(file: Path) -> Path:
        native = samples.native(file.with_suffix(".weights.h5"))
        with h5py.File(native, "a") as h5:
            del h5[ENTRY]
            h5[ENTRY] = text
        return native

    return write


def says(**changes: object) -> Write:
    return told(json.dumps({**samples.manifest().to_dict(), **changes}))


def network(**fields: object) -> Write:
    return says(fields={**samples.manifest().fields, **fields})


def scaling(**changes: object) -> Write:
    return says(preprocessing={**samples.manifest().to_dict()["preprocessing"], **changes})


MANIFESTS: dict[str, Write] = {
    "text": told("no"),
    "bytes": told(b"\xff\xfe"),
    "brackets": told("[" * 200_000),
    "nothing": told("{}"),
    "null": told("null"),
    "number": told("7"),
    "list": told("[1]"),
    "two": told("{}{}"),
    **{
        f"network {value!r}": says(network=value)
        for value in (7, None, [], {}, "resnet", "__class__", "x" * 100_000)
    },
    **{
        f"fields {value!r}": says(fields=value)
        for value in (
            7,
            None,
            "ab",
            [1],
            {"kernel": 3},
            {"network": "resnet18"},
            {"self": 1},
            {"weights": "a"},
            {"spec": 1},
        )
    },
    **{
        f"field {name}={value!r}": network(**{name: value})
        for name, value in (
            ("repeats", [1_000_000] * 3),
            ("repeats", [1_000_000]),
            ("repeats", [1] * 30),
            ("repeats", [1.5]),
            ("repeats", "111"),
            ("repeats", []),
            ("repeats", [10**30]),
            ("repeats", [True] * 3),
            ("stem", [[3, 2**40]]),
            ("stem", [[9_999, 4]]),
            ("stem", [[3, 4]] * 99_999),
            ("branch", [[3, 2**31]] * 2),
            ("branch", [[3, 1]] * 99_999),
            ("shortcut", {}),
            ("padding", None),
            ("preact", "yes"),
            ("stochastic_depth", math.nan),
            ("output_stride", []),
            ("classes", 10**9),
            ("classes", 10**30),
            ("classes", "ten"),
            ("image_size", -1),
        )
    },
    **{
        f"image_shape {value!r}": says(image_shape=value)
        for value in (7, None, [], [32, 32], "abc", [32, 32, "3"], [32, 32, [3]])
    },
    **{
        f"labels {value!r}": says(labels=value)
        for value in (7, None, "abcdefghij", list(range(10)), [["a"]] * 10, {"a": 1})
    },
    **{
        f"preprocessing {value!r}": says(preprocessing=value)
        for value in (7, None, "torch", [], {"sigma": 1})
    },
    **{
        f"scaling {name}={value!r}": scaling(**{name: value})
        for name, value in (
            ("mean", "grey"),
            ("mean", [[1, 2], [3]]),
            ("mean", {}),
            ("mean", math.nan),
            ("std", "one"),
            ("std", None),
            ("std", 0),
            ("std", [math.inf]),
            ("image_size", "big"),
            ("image_size", None),
            ("image_size", -3),
            ("crop", 0),
            ("crop", math.nan),
            ("crop", "a"),
            ("interpolation", "none"),
            ("interpolation", []),
            ("bgr", "yes"),
        )
    },
}


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[str, hostile.Outcome]:
    folder, cases = tmp_path_factory.mktemp("structures"), []
    for i, (name, write) in enumerate([*STRUCTURES.items(), *MANIFESTS.items()]):
        file = write(folder / f"{i}.safetensors")
        source = "keras_resnet" if file.name.endswith("h5") else "akamaster"
        doors = ["from_weights", "load"] if name in STRUCTURES else ["from_weights"]
        cases += [hostile.case(file, door, source, name=name) for door in doors]
    return {(o.case["name"], o.case["door"]): o for o in hostile.outcomes(folder, cases)}


@pytest.mark.parametrize("name", STRUCTURES, ids=lambda name: name[:60])
def test_tensors_that_are_no_network_are_refused(name: str, found) -> None:
    for door in ("from_weights", "load"):
        outcome = found[name, door]
        assert outcome.kind == "ValueError", str(outcome)
        assert not outcome.faults, str(outcome)


@pytest.mark.parametrize("name", MANIFESTS, ids=lambda name: name[:60])
def test_manifests_of_nothing_are_refused(name: str, found) -> None:
    outcome = found[name, "from_weights"]
    assert outcome.kind == "ValueError", str(outcome)
    assert not outcome.faults, str(outcome)


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("missing", "missing are ['stage2_block1_conv1_bn/gamma']"),
        ("left over", "['extra']"),
        ("left over bias", "left over are ['stage1_block1_conv7_bn/beta']"),
        ("twice", "contains ['stage1_block1_conv1/kernel'] twice"),
        ("gap", "[(2, 2)"),
        ("even kernel", "odd sizes"),
        ("longer statistics", "(5,) in the file, (4,) in the model"),
        ("nan", "stem_conv1/kernel is not"),
    ],
)
def test_what_does_not_fit_is_named(name: str, word: str, found) -> None:
    assert word in found[name, "from_weights"].told
