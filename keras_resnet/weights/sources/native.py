"""Files of this package, and those that plain Keras saved of its models: our names as they are."""

import re

from keras_resnet.weights.formats.containers import Container
from keras_resnet.weights.infer.proof import Proof
from keras_resnet.weights.sources.source import Names, Renames, Source, Traits, by_layer

NAME = re.compile(
    r"(?P<layer>stem_conv\d+(_bn)?|stage\d+_block\d+_\w+|final_bn|logits"
    r"|(image|stem_conv\d+(_relu)?|final_relu|pool|logits)_int8|final_scale)/(?P<variable>\w+)"
)


def rename(names: Names) -> Renames:
    return by_layer(names, NAME, lambda match: match["layer"])


def traits(_: Container, __: Proof) -> Traits:
    """A file says in its manifest or configuration what it holds, or nothing is known of it."""
    return Traits()


SOURCE = Source("keras_resnet", rename, traits, layout="HWIO", options=("A", "B", "C", "D", None))
