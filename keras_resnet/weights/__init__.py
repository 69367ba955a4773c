"""Reads and writes files of weights, of this package and of other projects.

`keras_resnet.resnet(weights=...)` and `keras_resnet.from_weights(...)` build networks from files;
the functions here take a model. `SOURCES` lists the supported projects, each a module in `sources`;
`formats` reads their files; `infer.authority` determines which network a file contains.

A name is imported when it is first used: `keras-resnet list` needs the catalogue, but not Keras.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_resnet.weights.catalogue import list_weights
    from keras_resnet.weights.download import local
    from keras_resnet.weights.file import Held, opened
    from keras_resnet.weights.filling import fill
    from keras_resnet.weights.infer.authority import Told, Undecided
    from keras_resnet.weights.infer.images_and_labels import adapted, labels
    from keras_resnet.weights.loading import load, read_manifest
    from keras_resnet.weights.saving import save
    from keras_resnet.weights.sources import SOURCES

__all__ = [
    "SOURCES",
    "Held",
    "Told",
    "Undecided",
    "adapted",
    "fill",
    "labels",
    "list_weights",
    "load",
    "local",
    "opened",
    "read_manifest",
    "save",
]

MODULES = {
    "SOURCES": "sources",
    "Held": "file",
    "Told": "infer.authority",
    "Undecided": "infer.authority",
    "adapted": "infer.images_and_labels",
    "fill": "filling",
    "labels": "infer.images_and_labels",
    "list_weights": "catalogue",
    "load": "loading",
    "local": "download",
    "opened": "file",
    "read_manifest": "loading",
    "save": "saving",
}


def __getattr__(name: str) -> Any:
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{MODULES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
