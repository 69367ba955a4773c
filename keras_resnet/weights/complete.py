"""Compares the layers that a file says it has with those that are built: no step may be left out.

A model that a user built and Keras saved can hold more than a network of this package: a Rescaling
before the stem, another activation after it. Such layers have no weights that would be missed.
"""

import keras

from keras_resnet.weights.file import Held
from keras_resnet.weights.sources import native

HEAD = frozenset({"pool", "pool_int8", "logits", "logits_int8", "predictions"})
# They change nothing where nobody trains, or only how a convolution that strides is padded.
IDLE = frozenset({"Dropout", "SpatialDropout2D", "ActivityRegularization", "Identity"})
PADDING = "ZeroPadding2D"
# What the networks of other sources are made of.
KINDS = IDLE | {
    PADDING, "Conv2D", "BatchNormalization", "Activation", "ReLU", "Add", "MaxPooling2D",
    "AveragePooling2D", "GlobalAveragePooling2D", "GlobalMaxPooling2D", "Flatten", "Dense",
}  # fmt: skip


def check_layers(held: Held, model: keras.Model) -> None:
    """Refuses a file whose model has layers that the network built from it lacks.

    Raises:
        ValueError: naming them.
    """
    graph = held.evidence.graph
    present = {layer.name for layer in model.layers} | HEAD | {graph.classifier}
    own = held.source is native.SOURCE
    more = [
        f"{name} ({kind})"
        for name, kind in graph.layers.items()
        if (name not in present and kind not in IDLE | {PADDING} if own else kind not in KINDS)
    ]
    if held.classes and "GlobalMaxPooling2D" in graph.layers.values():
        more.append("a maximum in place of the average before its classifier")
    if more:
        raise ValueError(
            f"{held.path} holds a model with layers that are not of this network:"
            f" {', '.join(more[:5])}. What they compute would be left out: save the network alone,"
            " and say by preprocessing= what is done to pixels before it"
        )
