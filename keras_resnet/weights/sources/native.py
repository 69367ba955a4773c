"""Files of this package, and those that plain Keras saved of its models: our names as they are."""

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
# Layers outside of blocks that have weights, in networks of floats and in quantized ones.
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
    """Whether a name is that of a layer with weights in the networks of this package."""
    return any(known.fullmatch(layer) for known in (IN_A_BLOCK, *OTHERS))


def traits(_: Container, __: Proof) -> Traits:
    """A file says in its manifest or configuration what it holds, or nothing is known of it."""
    return Traits()


SOURCE = Source("keras_resnet", rename, traits, layout="HWIO", options=("A", "B", "C", "D", None))
