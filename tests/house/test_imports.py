"""The house rules that a program can check: who imports whom, and how long things are."""

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from keras_resnet import preprocess, resnet
from tests.support import helpers
from tests.support.helpers import ROOT

SOURCES = sorted(
    path
    for folder in ("keras_resnet", "train", "saved_models")
    for path in (ROOT / folder).rglob("*.py")
)
# Data flows one way: a module imports what stands in lower ranks.
RANKS = {
    "specs": 0,
    "tfds": 0,
    "family": 1,
    "layers": 1,
    "graph": 1,
    "image_files": 1,
    "images": 1,
    "labels": 1,
    "resizing": 1,
    "blocks": 2,
    "scaling": 2,
    "preprocessing": 3,
    "manifest": 4,
    "network": 5,
    "building": 6,
    "folding": 6,
    "quantization": 7,
    "weights": 8,
    "models": 9,
    "builders": 10,
    "analysis": 10,
    "memory": 10,
    "trained": 10,
    "transfer": 10,
    "export": 11,
    "__init__": 12,
}
# What command lines print, which files are images, and how their bytes are decoded: they import
# nothing of the package. `decoding` needs TensorFlow, so the rest of the library imports it inside
# functions.
APART = {"console", "decoding", "image_kinds"}
BOUND_TO_TENSORFLOW = {"decoding", "export"}
CORE = {"absl", "google", "h5py", "keras", "keras_resnet", "ml_dtypes", "numpy", "safetensors"}
each = pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(tree: ast.AST, *, everywhere: bool = True) -> Iterator[str]:
    """Yields dotted modules; those inside functions only if they are wanted."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif everywhere or not isinstance(node, ast.FunctionDef | ast.Lambda):
            yield from imports(node, everywhere=everywhere)


def packages(path: Path, *, everywhere: bool = True) -> set[str]:
    return {name.split(".")[0] for name in imports(parse(path), everywhere=everywhere)}


def room(path: Path) -> str:
    """The module or folder of keras_resnet that a file is in."""
    return path.relative_to(ROOT / "keras_resnet").parts[0].removesuffix(".py")


def library() -> list[Path]:
    return [path for path in SOURCES if path.is_relative_to(ROOT / "keras_resnet")]


def test_the_checks_see_the_sources() -> None:
    folders = [path.relative_to(ROOT).parts[0] for path in SOURCES]
    assert folders.count("keras_resnet") >= 10
    assert folders.count("train") >= 10
    assert folders.count("saved_models") >= 1
    assert set(imports(parse(ROOT / "keras_resnet" / "specs.py"))) > {"math", "typing.Any"}


@each
def test_the_three_laws_of_imports(path: Path) -> None:
    folder = path.relative_to(ROOT).parts[0]
    forbidden = {
        "keras_resnet": {"train", "saved_models"},
        "train": {"saved_models"},
        "saved_models": {"keras", "keras_resnet", "train"},
    }[folder]
    assert packages(path) & forbidden == set()


@pytest.mark.parametrize(
    "path",
    [p for p in SOURCES if "saved_models" in p.relative_to(ROOT).parts],
    ids=lambda p: p.name,
)
def test_what_serves_imports_no_tensorflow_before_it_needs_it(path: Path) -> None:
    assert "tensorflow" not in packages(path, everywhere=False)


@pytest.mark.parametrize("path", library(), ids=lambda path: path.stem)
def test_the_library_flows_one_way(path: Path) -> None:
    own = room(path)
    rooms = {
        "__init__" if name == "keras_resnet" else name.split(".")[1]
        for name in imports(parse(path))
        if name.split(".")[0] == "keras_resnet"
    } - {own}
    if own in APART:
        assert rooms == set()
        return
    assert own in RANKS, f"{own} has no place in the order of the house"
    unordered = {other for other in rooms - APART if RANKS[other] >= RANKS[own]}
    assert unordered == set()


@pytest.mark.parametrize("folder", ["formats", "sources"])
def test_weights_flow_one_way(folder: str) -> None:
    """Readers know no sources, and sources only what a file proves."""
    allowed = {"formats": {"formats"}, "sources": {"formats", "sources", "structure"}}[folder]
    for path in (ROOT / "keras_resnet" / "weights" / folder).glob("*.py"):
        parts = [name.split(".") for name in imports(parse(path))]
        assert {part[2] for part in parts if part[:2] == ["keras_resnet", "weights"]} <= allowed


@pytest.mark.parametrize(
    "path",
    [path for path in library() if room(path) not in BOUND_TO_TENSORFLOW],
    ids=lambda path: path.stem,
)
def test_the_library_needs_little(path: Path) -> None:
    """TensorFlow is one of three backends; only the export and the decoder are bound to it."""
    foreign = packages(path, everywhere=False) - set(sys.stdlib_module_names)
    assert foreign <= CORE
    assert "keras_resnet.preprocessing.decoding" not in imports(parse(path), everywhere=False)
    if path.stem == "specs":
        assert foreign == set()


@each
def test_files_fit_in_the_head(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


@each
def test_functions_fit_on_a_screen(path: Path) -> None:
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = node.end_lineno - node.lineno + 1
            assert lines <= 60, f"{node.name} has {lines} lines"


def test_the_readme_is_a_page_or_two() -> None:
    assert 1 <= len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


JAX = """
import json, sys
import numpy as np
import keras_resnet
import keras
assert keras.backend.backend() == "jax"
x = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
for network, fields in json.loads(sys.argv[2]).items():
    model = keras_resnet.resnet(network, **fields)
    outputs = np.asarray(model(keras_resnet.preprocess(x, "tf")))
    np.save(f"{sys.argv[1]}/{network}.npy", outputs)
    model.save_weights(f"{sys.argv[1]}/{network}.weights.h5")
    assert keras_resnet.cost(model, (32, 32)).parameters > 0
assert "tensorflow" not in sys.modules
"""
ON_JAX = {
    "resnet20": {"repeats": [1, 1, 1]},
    "resnet18_v2": {"repeats": [1, 1, 1, 1], "shortcut": "D", "output_stride": 16},
}


def test_jax_computes_the_same_without_tensorflow(tmp_path) -> None:
    result = helpers.python("-c", JAX, str(tmp_path), json.dumps(ON_JAX), KERAS_BACKEND="jax")
    assert result.returncode == 0, result.stderr
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    for network, fields in ON_JAX.items():
        model = resnet(network, weights=f"{tmp_path}/{network}.weights.h5", **fields)
        expected = np.load(tmp_path / f"{network}.npy")
        np.testing.assert_allclose(expected.sum(1), 1, rtol=1e-5)
        np.testing.assert_allclose(model(preprocess(x, "tf")), expected, atol=1e-5)
