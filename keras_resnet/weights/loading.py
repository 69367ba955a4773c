"""Reads files of weights into a model, and what a file says of itself."""

import os

import keras

from keras_resnet.manifest import Manifest
from keras_resnet.specs import Spec
from keras_resnet.weights.download import local
from keras_resnet.weights.file import opened
from keras_resnet.weights.filling import fill
from keras_resnet.weights.infer.authority import DECIDED, Told, Undecided

__all__ = ["load", "read_manifest"]


def load(
    model: keras.Model,
    path: str | os.PathLike[str],
    spec: Spec | None = None,
    *,
    source: str | None = None,
    prefix: str | None = None,
    backbone: bool = False,
) -> None:
    """Sets all weights of a model from a file of the same network.

    Layers are matched by name. (Keras matches them by their order in the graph, which changes with
    `include_top`, `endpoints`, dilation and stochastic depth.)

    Args:
        model: the network, with or without its classifier.
        path: a file, a URL or "hf://owner/name", in the format of any source.
        spec: the architecture of the network in the file; overrides the conventions of its source.
            By default the spec of the model is used where the file determines nothing.
        source: a name in `SOURCES`; by default recognized by the content of the file.
        prefix: of the names of the tensors to read, such as "backbone."; it is removed from them.
        backbone: whether `model` is a larger model around the network, such as a detector built on
            its endpoints. Then a classifier, and layers with other names than those of this
            package, keep their weights. The model must have all layers of the backbone.

    Raises:
        ValueError: if the file is missing or damaged, or contains another network; no weight is
            changed.
    """
    own = getattr(model, "spec", None) if spec is None else spec
    with opened(local(path), source, prefix) as held:
        if own is None:
            fill(model, held, held.evidence.spec, backbone=backbone)
            return
        firmly = {} if spec is None else {name: getattr(spec, name) for name in DECIDED}
        manifest = held.settle(Told(spec=own, exact=True, fields=firmly))
        fill(model, held, manifest.spec, backbone=backbone)


def read_manifest(path: str | os.PathLike[str]) -> Manifest | None:
    """Reads the manifest of a file, or derives it from the content.

    Args:
        path: a file, a URL or "hf://owner/name", in the format of any source.

    Returns:
        The manifest; None if the file alone does not determine the network.

    Raises:
        ValueError: if the file is missing or damaged.
    """
    with opened(local(path)) as held:
        try:
            return held.settle()
        except Undecided:
            return None
