"""MLPerf Tiny's image classifier, ResNet-8 for CIFAR-10 (github.com/mlcommons/tiny), as `.h5`.

A ResNet v1 of 6n+2 layers, option B, padding as in TensorFlow, raw pixels. Layers are numbered in
the order of their creation, in which a projection comes after the convolutions of its block.

The names are the default names of Keras: networks of other people have them too, and their
preprocessing is unknown.
"""

import re
from collections.abc import Collection

from keras_resnet import preprocessing
from keras_resnet.specs import BRANCH_CONV, LOGITS, PROJECTION, norm_of, pattern, stem_conv
from keras_resnet.weights.infer.proof import Proof
from keras_resnet.weights.sources.source import (
    TENSORFLOW_PADDING,
    Renames,
    Source,
    by_layer,
    cifar10,
)

NAME = re.compile(
    r"(?P<kind>conv2d|batch_normalization|dense)(_(?P<number>\d+))?/(?P<variable>\w+)"
)


def rename(names: Collection[str]) -> Renames:
    found = {m.group("kind", "number") for name in names if (m := NAME.fullmatch(name))}
    numbers = {
        kind: sorted(int(number or 0) for other, number in found if other == kind)
        for kind in ("conv2d", "batch_normalization", "dense")
    }
    ordered = _layers(len(numbers["batch_normalization"]))
    layers = {
        (kind, number): layer
        for kind, in_order in zip(numbers, ordered, strict=True)
        for number, layer in zip(numbers[kind], in_order, strict=False)
    }
    return by_layer(names, NAME, lambda m: layers.get((m["kind"], int(m["number"] or 0))))


def _layers(norms: int) -> tuple[list[str], list[str], list[str]]:
    """Returns convolutions, normalizations and classifier in the order of their creation."""
    blocks = (norms - 1) // 6
    convs = [stem_conv(1)]
    normed = [stem_conv(1)]
    for stage in (1, 2, 3):
        for block in range(1, blocks + 1):
            branch = [BRANCH_CONV.format(stage=stage, block=block, conv=conv) for conv in (1, 2)]
            normed += branch
            convs += branch
            if stage > 1 and block == 1:
                convs.append(PROJECTION.format(stage=stage, block=block))
    return convs, [norm_of(layer) for layer in normed], [LOGITS]


def published(proof: Proof) -> bool:
    """Whether it is ResNet-8, the only network of the benchmark."""
    return proof.repeats == (1, 1, 1)


PREPROCESSING = preprocessing.mode("none", image_size=32, crop=1.0)
SOURCE = Source(
    name="mlcommons_tiny",
    rename=rename,
    traits=cifar10(TENSORFLOW_PADDING, PREPROCESSING, published),
    layout="HWIO",
    epsilon=1e-3,
    implied=pattern(norm_of(PROJECTION)).pattern + "/.*",
)
