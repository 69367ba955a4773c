"""HDF5 files that point elsewhere, go in circles, or hold more than they should."""

import os
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from keras_resnet.manifest import ENTRY
from tests.support import hostile, samples

BOMB = 256 << 20  # bytes of zeros
KERNEL = "conv2d_0/conv2d_0/kernel:0"  # of the stem, in files of Keras 2


def edited(edit: Callable[[h5py.File, Path], None]) -> Callable[[Path], Path]:
    """Changes a good `.weights.h5`; `edit` gets the file and the folder that it lies in."""

    def write(file: Path) -> Path:
        samples.native(file)
        with h5py.File(file, "a") as h5:
            edit(h5, file.parent)
        return file

    return write


def first_layer(h5: h5py.File) -> h5py.Group:
    [found] = [
        group["vars"]
        for group in h5["layers"].values()
        if group["vars"].attrs.get("name") == "stem_conv1"
    ]
    return found


def other(folder: Path) -> str:
    """A good file, which nothing may be taken from."""
    file = folder / "other.weights.h5"
    if not file.exists():
        samples.native(file)
    return str(file)


def kernel(link: Callable[[Path, h5py.Group], object]) -> Callable[[Path], Path]:
    """Puts something else in the place of the stem's kernel."""

    def edit(h5: h5py.File, folder: Path) -> None:
        variables = first_layer(h5)
        value = link(folder, variables)
        del variables["0"]
        if value is not None:
            variables["0"] = value

    return edited(edit)


def dataset(**arguments) -> Callable[[Path], Path]:
    def edit(h5: h5py.File, folder: Path) -> None:
        variables = first_layer(h5)
        del variables["0"]
        variables.create_dataset("0", **arguments)

    return edited(edit)


def replaced(name: str, link: Callable[[Path], object]) -> Callable[[Path], Path]:
    def edit(h5: h5py.File, folder: Path) -> None:
        if name in h5:
            del h5[name]
        h5[name] = link(folder)

    return edited(edit)


def outside(h5: h5py.File, folder: Path) -> None:
    (folder / "numbers").write_bytes(np.ones(108, "f4").tobytes())
    variables = first_layer(h5)
    del variables["0"]
    variables.create_dataset("0", (3, 3, 3, 4), "f4", external=[(str(folder / "numbers"), 0, 432)])


def virtual(h5: h5py.File, folder: Path) -> None:
    variables = first_layer(h5)
    layout = h5py.VirtualLayout((3, 3, 3, 4), "f4")
    layout[:] = h5py.VirtualSource(other(folder), "a", (3, 3, 3, 4))
    del variables["0"]
    variables.create_virtual_dataset("0", layout)


def fifo(folder: Path) -> h5py.ExternalLink:
    """Who opens it to see whether something is inside waits forever."""
    if not (folder / "fifo").exists():
        os.mkfifo(folder / "fifo")
    return h5py.ExternalLink(str(folder / "fifo"), "/")


def chunk_bomb(h5: h5py.File, folder: Path, last: int = BOMB // 108) -> None:
    """A dataset of the right shape whose one chunk is far larger than the dataset."""
    variables = first_layer(h5)
    del variables["0"]
    data = variables.create_dataset(
        "0", (3, 3, 3, 4), "f4", maxshape=(None,) * 4, chunks=(3, 3, 3, last), compression="gzip"
    )
    data.id.write_direct_chunk((0, 0, 0, 0), zlib.compress(bytes(BOMB), 1))


def entry_bomb(h5: h5py.File, folder: Path) -> None:
    del h5[ENTRY]
    data = h5.create_dataset(ENTRY, (BOMB,), "u1", chunks=(BOMB,), compression="gzip")
    data.id.write_direct_chunk((0,), zlib.compress(bytes(BOMB), 1))


def entry_outside(h5: h5py.File, folder: Path) -> None:
    (folder / "text").write_text("{}")
    del h5[ENTRY]
    h5.create_dataset(ENTRY, (1,), "S2", external=[(str(folder / "text"), 0, 2)])


def attribute(value: object) -> Callable[[Path], Path]:
    def edit(h5: h5py.File, folder: Path) -> None:
        first_layer(h5).attrs["name"] = value

    return edited(edit)


def twice(h5: h5py.File, folder: Path) -> None:
    first_layer(h5).parent.parent.copy(first_layer(h5).parent, "again")


def heap(start: bytes) -> Callable[[Path], Path]:
    """Texts of variable length lie in heaps, which libhdf5 walks through by the sizes inside."""

    def write(file: Path) -> Path:
        content = samples.native(file).read_bytes()
        place = content.index(b"GCOL") + 16
        file.write_bytes(content[:place] + start + bytes(64) + content[place + len(start) + 64 :])
        return file

    return write


def old(name: str, **arguments) -> Callable[[Path], Path]:
    def write(file: Path) -> Path:
        samples.old_h5(file)
        with h5py.File(file, "a") as h5:
            layers = h5["model_weights"]
            del layers[KERNEL]
            layers.create_dataset(name, **arguments)
        return file

    return write


CASES = {
    "external link": kernel(lambda folder, _: h5py.ExternalLink(other(folder), "layers")),
    "soft link": kernel(lambda _, group: h5py.SoftLink(group.name + "/../vars/0")),
    "soft link to another": kernel(lambda *_: h5py.SoftLink("/layers")),
    "group": kernel(lambda _, group: group.file["layers"]),
    "removed": kernel(lambda *_: None),
    "layers outside": replaced("layers", lambda f: h5py.ExternalLink(other(f), "layers")),
    "layers in a pipe": replaced("layers", fifo),
    "old layers in a pipe": edited(
        lambda h5, f: (h5.pop("layers"), h5.__setitem__("model_weights", fifo(f)))
    ),
    "layers are numbers": replaced("layers", lambda _: np.zeros(3)),
    "layers are soft": replaced("layers", lambda _: h5py.SoftLink("/")),
    "layers nowhere": replaced("layers", lambda _: h5py.SoftLink("/nowhere")),
    "variables in a pipe": edited(
        lambda h5, f: h5["layers"].create_group("x").__setitem__("vars", fifo(f))
    ),
    "layer is number": edited(lambda h5, _: h5["layers"].__setitem__("x", 1.0)),
    "layer outside": edited(
        lambda h5, f: h5["layers"].__setitem__("x", h5py.ExternalLink(other(f), "/"))
    ),
    "cycle": edited(
        lambda h5, _: (
            h5.move("layers", "model_weights"),
            h5["model_weights"].__setitem__("x", h5["/"]),
        )
    ),
    "external storage": edited(outside),
    "virtual": edited(virtual),
    "huge compressed": dataset(
        shape=(2**20, 2**20), dtype="f4", chunks=(64, 64), compression="gzip"
    ),
    "2**63 numbers": dataset(shape=(2**31, 2**31), dtype="u1", chunks=(64, 64)),
    "chunk bomb": edited(chunk_bomb),
    "small chunk bomb": edited(lambda h5, folder: chunk_bomb(h5, folder, 4)),
    "stretched chunk bomb": edited(lambda h5, folder: chunk_bomb(h5, folder, 12_000)),
    "text": dataset(data="numbers"),
    "texts": dataset(data=["a", "b"]),
    "compound": dataset(shape=(3, 3, 3, 4), dtype=[("a", "f4"), ("b", "f4")]),
    "arrays": dataset(shape=(3, 3, 3), dtype=np.dtype("(4,)f4")),
    "ragged": dataset(shape=(3, 3, 3, 4), dtype=h5py.vlen_dtype(np.float32)),
    "complex": dataset(data=np.zeros((3, 3, 3, 4), complex)),
    "references": dataset(shape=(3, 3, 3, 4), dtype=h5py.ref_dtype),
    "opaque": dataset(data=np.zeros((3, 3, 3, 4), "V4")),
    "nothing": dataset(data=h5py.Empty("f4")),
    "scalar": dataset(data=1.0),
    "name is a number": attribute(7),
    "name is a list": attribute(["a", "b"]),
    "name is bytes": attribute(np.bytes_(b"\xff")),
    "name of nobody": attribute("stem_conv77"),
    "name is long": attribute("stage1" * 5_000),
    "name is empty": attribute(""),
    "name is nothing": attribute(h5py.Empty("f4")),
    "two layers of one name": edited(twice),
    "manifest bomb": edited(entry_bomb),
    "manifest outside": edited(entry_outside),
    "manifest is a group": edited(lambda h5, _: (h5.pop(ENTRY), h5.create_group(ENTRY))),
    "manifest is a number": edited(lambda h5, _: (h5.pop(ENTRY), h5.__setitem__(ENTRY, 1.0))),
    "manifest is ragged": edited(
        lambda h5, _: (h5.pop(ENTRY), h5.create_dataset(ENTRY, (2,), h5py.vlen_dtype(np.float32)))
    ),
    "heap": heap(b""),
    "heap with space": heap(bytes(8) + (16).to_bytes(8, "little")),
    "old text": old(KERNEL, data="numbers"),
    "old kernel of another layer": old("conv2d_0/b/c/d/conv77:0", data=np.zeros(3)),
    "old kernel twice": old("conv2d_1/again/kernel:0", data=np.zeros((3, 3, 4, 4), "f4")),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[str, hostile.Outcome]:
    cases, folder = [], tmp_path_factory.mktemp("hdf5")
    for name, write in CASES.items():
        (place := folder / name.replace("*", "")).mkdir()
        source = "mlcommons_tiny" if name.startswith("old kernel") else "keras_resnet"
        file = write(place / "a.weights.h5")
        cases.append(hostile.case(file, "load", source, name=name))
    return {outcome.case["name"]: outcome for outcome in hostile.outcomes(folder, cases)}


@pytest.mark.parametrize("name", CASES)
def test_files_that_are_no_plain_weights_are_refused(name: str, found) -> None:
    outcome = found[name]
    assert outcome.kind == "ValueError", str(outcome)
    assert not outcome.faults, str(outcome)


def test_a_manifest_elsewhere_is_not_followed(tmp_path) -> None:
    def link(h5: h5py.File, folder: Path) -> None:
        del h5[ENTRY]
        h5[ENTRY] = h5py.ExternalLink(other(folder), ENTRY)

    file = edited(link)(tmp_path / "a.weights.h5")
    with pytest.raises(ValueError, match="link to another place"):
        samples.weights.read_manifest(file)


def test_circles_beside_the_weights_are_no_harm(tmp_path) -> None:
    file = edited(lambda h5, _: h5["layers"].__setitem__("x", h5["layers"]))(
        tmp_path / "a.weights.h5"
    )
    samples.weights.load(samples.build("keras_resnet"), file)
