"""Files of this package, and those that plain Keras saved of its models: our names as they are."""

import re

from keras_resnet.preprocessing import Preprocessing
from keras_resnet.weights.sources.source import Names, Renames, Source, by_layer, fixed

NAME = re.compile(
    r"(?P<layer>stem_conv\d+(_bn)?|stage\d+_block\d+_\w+|final_bn|logits"
    r"|(image|stem_conv\d+(_relu)?|final_relu|pool|logits)_int8|final_scale)/(?P<variable>\w+)"
)


def rename(names: Names) -> Renames:
    return by_layer(names, NAME, lambda match: match["layer"])


# Its traits are in the manifest of a file, or unknown.
SOURCE = Source("keras_resnet", rename, fixed(Preprocessing()), layout="HWIO")
