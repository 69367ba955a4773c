"""Files of this package, and files of its models that Keras saved: our own names."""

import re
from collections.abc import Collection

from keras_resnet.specs import (
    BLOCK,
    FINAL,
    IMAGE,
    LOGITS,
    POOL,
    STEM_CONV,
    norm_of,
    pattern,
    relu_of,
    rounding_of,
    scale_of,
)
from keras_resnet.weights.formats.containers import Container
from keras_resnet.weights.infer.proof import Proof
from keras_resnet.weights.sources.source import Renames, Source, Traits, by_layer

NAME = re.compile(r"(?P<layer>\w+)/(?P<variable>\w+)")
IN_A_BLOCK = re.compile(pattern(BLOCK).pattern + r"_\w+")
# Layers with weights outside of blocks, in networks of floats and in quantized ones.
OTHERS = [
    pattern(layer)
    for layer in (
        STEM_CONV,
        norm_of(STEM_CONV),
        norm_of(FINAL),
        scale_of(norm_of(FINAL)),
        LOGITS,
        rounding_of(IMAGE),
        rounding_of(STEM_CONV),
        rounding_of(relu_of(STEM_CONV)),
        rounding_of(relu_of(FINAL)),
        rounding_of(POOL),
        rounding_of(LOGITS),
    )
]


def rename(found: Collection[str]) -> Renames:
    return by_layer(found, NAME, lambda match: match["layer"] if names(match["layer"]) else None)


def names(layer: str) -> bool:
    """Whether a layer with weights has this name in networks of this package."""
    return any(known.fullmatch(layer) for known in (IN_A_BLOCK, *OTHERS))


def traits(_: Container, __: Proof) -> Traits:
    """Returns nothing: only manifest and configuration describe such a file."""
    return Traits()


SOURCE = Source("keras_resnet", rename, traits, layout="HWIO", options=("A", "B", "C", "D", None))
