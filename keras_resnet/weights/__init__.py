"""Weights in files: this package's own, and those of others, exactly.

`resnet(weights=...)` and `resnet.from_weights(...)` are the usual doors; here are those that take a
model. `SOURCES` names the ecosystems, each in a file of its own in `sources`; `formats` has the
readers of their files.
"""

import os

import keras

from keras_resnet.manifest import Manifest
from keras_resnet.specs import FIELDS, Spec
from keras_resnet.weights.download import local
from keras_resnet.weights.filling import fill
from keras_resnet.weights.held import Held, adapted, labels, opened
from keras_resnet.weights.sources import SOURCES
from keras_resnet.weights.writing import save

__all__ = [
    "SOURCES",
    "Held",
    "adapted",
    "fill",
    "labels",
    "load",
    "local",
    "opened",
    "read_manifest",
    "save",
]


def load(
    model: keras.Model,
    path: str | os.PathLike[str],
    spec: Spec | None = None,
    *,
    source: str | None = None,
) -> None:
    """Fills all weights of `model` from a file of exactly that network, or none.

    Layers are found by name. Keras itself goes by their order in the graph, which a dropped
    classifier, endpoints, dilation or stochastic depth change.

    Args:
        model: the network, with or without its classifier.
        path: a file, a URL or hf://owner/name, in the format of any source.
        spec: what the model was built from; by default the model says it.
        source: a name in `SOURCES`; by default known from the content.

    Raises:
        ValueError: if the file is missing, damaged, or another network's.
    """
    spec = spec or getattr(model, "spec", None)
    fields = {name: getattr(spec, name) for name in FIELDS} if spec else {}
    with opened(local(path), source, fields) as held:
        if spec:
            held.check(spec)
        fill(model, held, spec)


def read_manifest(path: str | os.PathLike[str]) -> Manifest | None:
    """Reads what `save` wrote beside the weights; None for files that say nothing."""
    with opened(local(path)) as held:
        return held.manifest
