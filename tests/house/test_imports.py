"""The house rules that a program can check: who imports whom. One test a rule."""

import ast
import importlib.util
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np

from keras_resnet import preprocess, resnet
from tests.support import helpers
from tests.support.helpers import ROOT

SOURCES = sorted(
    path
    for folder in ("keras_resnet", "train", "saved_models")
    for path in (ROOT / folder).rglob("*.py")
)
LIBRARY = [path for path in SOURCES if path.is_relative_to(ROOT / "keras_resnet")]
# The three laws: what none of the files of a folder may import.
FORBIDDEN = {
    "keras_resnet": {"train", "saved_models"},
    "train": {"saved_models"},
    "saved_models": {"keras", "keras_resnet", "train"},
}
# The rooms of the library: a file imports its own room and rooms of lower ranks.
RANKS = {
    "console": 0,
    "labels": 0,
    "specs": 0,
    "counts": 1,
    "family": 1,
    "layers": 1,
    "preprocessing": 1,
    "blocks": 2,
    "manifest": 2,
    "network": 3,
    "rewrite": 4,
    "analysis": 5,
    "weights": 5,
    "models": 6,
    "transfer": 6,
    "export": 7,
    "command": 8,
    "__main__": 9,
    "__init__": 10,
}
# The same inside of `weights`: readers know no sources, and sources only what a file proves.
WEIGHTS_RANKS = {
    "disk": 0,
    "formats": 1,
    "proof": 2,
    "sources": 3,
    "biases": 3,
    "infer": 4,
    "catalogue": 4,
    "download": 5,
    "file": 5,
    "filling": 6,
    "loading": 7,
    "saving": 7,
    "__init__": 8,
}
# The rooms of the driver.
TRAIN_RANKS = {
    "augment": 0,
    "tasks": 0,
    "datasets": 1,
    "optimize": 1,
    "recipes": 2,
    "run": 3,
    "log": 4,
    "measure": 4,
    "curves": 5,
    "evaluate": 5,
    "loop": 6,
    "command": 7,
    "__main__": 8,
    "lab": 9,
    "__init__": 10,
}
# Folders that are bound to TensorFlow; the rest of the library runs on all backends of Keras.
TENSORFLOW = ("keras_resnet/export", "keras_resnet/preprocessing/decoding")
CORE = {"absl", "google", "h5py", "keras", "keras_resnet", "ml_dtypes", "numpy", "safetensors"}
ROOMS = {"keras_resnet": 18, "train": 14}  # on the first floor, at most
RECIPE_READERS = 6  # modules of train outside of its recipes that import `Recipe`, at most


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(path: Path, *, everywhere: bool = True) -> set[str]:
    """The dotted names that a file imports; those inside functions only if they are wanted."""
    return set(_imports(ast.parse(path.read_text(encoding="utf-8")), everywhere=everywhere))


def _imports(tree: ast.AST, *, everywhere: bool) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif everywhere or not isinstance(node, ast.FunctionDef | ast.Lambda):
            yield from _imports(node, everywhere=everywhere)


def packages(path: Path, *, everywhere: bool = True) -> set[str]:
    return {imported.split(".")[0] for imported in imports(path, everywhere=everywhere)}


def test_the_checks_see_the_sources() -> None:
    counts = Counter(path.relative_to(ROOT).parts[0] for path in SOURCES)
    assert counts["keras_resnet"] >= 50
    assert counts["train"] >= 30
    assert counts["saved_models"] >= 10
    assert imports(ROOT / "keras_resnet" / "specs.py") > {"math", "typing.Any"}


def test_the_three_laws_of_imports() -> None:
    broken = {
        (name(path), package)
        for path in SOURCES
        for package in packages(path) & FORBIDDEN[path.relative_to(ROOT).parts[0]]
    }
    assert broken == set()


def test_what_serves_imports_no_tensorflow_before_it_needs_it() -> None:
    serving = [path for path in SOURCES if path.is_relative_to(ROOT / "saved_models")]
    early = [name(path) for path in serving if "tensorflow" in packages(path, everywhere=False)]
    assert early == []


def upwards(package: str, ranks: dict[str, int], room: Callable[[list[str]], str]) -> set[str]:
    """The imports within a package that do not go down, as "file imports room"."""
    found = set()
    for path in (ROOT / package).rglob("*.py"):
        parts = path.relative_to(ROOT / package).with_suffix("").parts
        own = room(list(parts))
        for imported in imports(path):
            if not imported.startswith(f"{package.replace('/', '.')}."):
                continue
            other = room(imported.split(".")[len(package.split("/")) :])
            if other != own and ranks[other] >= ranks[own]:
                found.add(f"{name(path)} imports {other}")
    return found


def room_of_the_library(parts: list[str]) -> str:
    """The first folder or module; what the package itself defines is in its `__init__`."""
    return parts[0] if parts[0] in RANKS else "__init__"


def room_of_weights(parts: list[str]) -> str:
    if parts[:2] == ["infer", "proof"]:
        return "proof"
    return parts[0] if parts[0] in WEIGHTS_RANKS else "__init__"


def test_the_library_flows_one_way() -> None:
    rooms = {path.name.removesuffix(".py") for path in (ROOT / "keras_resnet").iterdir()}
    assert set(RANKS) <= rooms
    assert upwards("keras_resnet", RANKS, room_of_the_library) == set()


def test_weights_flow_one_way() -> None:
    assert upwards("keras_resnet/weights", WEIGHTS_RANKS, room_of_weights) == set()


def test_the_driver_flows_one_way() -> None:
    rooms = {path.name.removesuffix(".py") for path in (ROOT / "train").iterdir()}
    assert set(TRAIN_RANKS) <= rooms
    assert upwards("train", TRAIN_RANKS, lambda parts: parts[0]) == set()


def test_training_does_without_the_lab() -> None:
    users = {
        name(path)
        for path in (ROOT / "train").rglob("*.py")
        if "lab" not in path.parts and any(x.startswith("train.lab") for x in imports(path))
    }
    assert users == set()


def test_the_library_needs_little() -> None:
    """TensorFlow is one of three backends; only the export and the decoder are bound to it."""
    for path in LIBRARY:
        if name(path).startswith(TENSORFLOW):
            continue
        early = imports(path, everywhere=False)
        foreign = {imported.split(".")[0] for imported in early} - set(sys.stdlib_module_names)
        assert foreign <= CORE, name(path)
        assert "keras_resnet.preprocessing.decoding" not in early, name(path)
    for module in ("specs", "family"):
        known = packages(ROOT / "keras_resnet" / f"{module}.py") - set(sys.stdlib_module_names)
        assert known <= {"keras_resnet"}


def test_the_first_floor_can_be_taken_in_at_a_glance() -> None:
    for folder, most in ROOMS.items():
        modules = {
            path.relative_to(ROOT / folder).parts[0].removesuffix(".py")
            for path in (ROOT / folder).rglob("*.py")
        }
        assert len(modules - {"__init__"}) <= most, sorted(modules)


def test_every_module_lists_its_public_names() -> None:
    """Readers and sources are internal; `python -m` runs `__main__`, and nothing imports it."""
    internal = ("keras_resnet/weights/formats", "keras_resnet/weights/sources")
    for path in LIBRARY:
        if path.stem == "__main__" or name(path).startswith(internal):
            continue
        parts = path.relative_to(ROOT).with_suffix("").parts
        module = importlib.import_module(".".join(parts).removesuffix(".__init__"))
        public = getattr(module, "__all__", None)
        assert public, f"{name(path)} has no __all__"
        missing = [public_name for public_name in public if not exists(module, public_name)]
        assert missing == [], f"{name(path)} does not define all of its __all__"


def exists(module: ModuleType, public_name: str) -> bool:
    """Whether a module has a public name, which in a package may be that of a module."""
    if hasattr(module, public_name):
        return True
    package = hasattr(module, "__path__")
    return package and importlib.util.find_spec(f"{module.__name__}.{public_name}") is not None


def test_few_modules_know_the_recipe() -> None:
    """Functions take the values that they use, and one place unpacks them."""
    readers = [
        name(path)
        for path in (ROOT / "train").rglob("*.py")
        if "recipes" not in path.parts and "train.recipes.recipe.Recipe" in imports(path)
    ]
    assert len(readers) <= RECIPE_READERS, readers


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
