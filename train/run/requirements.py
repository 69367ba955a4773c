"""The packages that the commands need, checked before Keras is imported."""

import importlib.util
from types import ModuleType
from typing import Any

# `train.curves` does not need Keras.
DRAWING = ("matplotlib",)
KERAS = (
    "train",
    "train.__main__",
    "train.evaluate",
    "train.lab",
    "train.lab.page",
    "train.lab.ship",
)


def check() -> None:
    """Ends `python -m train…` with one line if a package is missing, or Keras has another backend.

    Packages that a run imports late are checked, too: that may be after hours. Nothing is checked
    where other code imports `train`.
    """
    name = console.command()
    if name == "train.curves":
        console.check(f"python -m {name}", DRAWING, keras=False)
    elif name in KERAS:
        console.check(f"python -m {name}", console.EXTRAS["train"])


def _console() -> ModuleType:
    """Loads `keras_resnet/console.py` by itself: the package that it is in imports Keras."""
    package: Any = importlib.util.find_spec("keras_resnet")
    place = f"{package.submodule_search_locations[0]}/console.py"
    spec: Any = importlib.util.spec_from_file_location("train.console", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


console: Any = _console()
