"""Weights in files: this package's own, and those of others, exactly.

`keras_resnet.resnet(weights=...)` and `keras_resnet.from_weights(...)` are the usual doors; the
functions here take a model. `SOURCES` lists the ecosystems, each in a file of its own in `sources`;
`formats` has the readers of their files; `infer.authority` decides what a file holds.
"""

import os

import keras

from keras_resnet.manifest import Manifest
from keras_resnet.specs import Spec
from keras_resnet.weights.download import local
from keras_resnet.weights.file import Held, opened
from keras_resnet.weights.fill import fill
from keras_resnet.weights.infer.authority import DECIDED, Told, Undecided
from keras_resnet.weights.infer.images_and_labels import adapted, labels
from keras_resnet.weights.save import save
from keras_resnet.weights.sources import SOURCES

__all__ = [
    "SOURCES",
    "Held",
    "Told",
    "Undecided",
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
    prefix: str | None = None,
    backbone: bool = False,
) -> None:
    """Fills all weights of `model` from a file of exactly that network, or none.

    Layers are found by name. Keras itself goes by their order in the graph, which a dropped
    classifier, endpoints, dilation or stochastic depth change.

    Args:
        model: the network, with or without its classifier.
        path: a file, a URL or hf://owner/name, in the format of any source.
        spec: what the weights are, whatever is usual for their source; by default the model's own
            decides what the file leaves open, and nothing else.
        source: a name in `SOURCES`; by default known from the content.
        prefix: of the names of the tensors to read, such as "backbone."; it is taken off.
        backbone: fill the layers of a backbone in a larger model, such as a detector that was built
            on the endpoints of a network: its classifier and the layers that this package does not
            name keep their weights. All layers of the backbone must be in the model.

    Raises:
        ValueError: if the file is missing, damaged, or another network's.
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
    """Reads what a file says of itself; None for files that say too little to be used alone."""
    with opened(local(path)) as held:
        try:
            return held.settle()
        except Undecided:
            return None
