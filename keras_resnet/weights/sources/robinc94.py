"""robinc94's ResNet-20 v1 for CIFAR-10 (6n+2, option B, padding as in TensorFlow), as `.npz`.

Layers are numbered in the order of the graph; projections have a bias and no BN.
"""

import re
from collections.abc import Collection

from keras_resnet.preprocessing import Preprocessing
from keras_resnet.specs import BRANCH_CONV, LOGITS, PROJECTION, norm_of, pattern, stem_conv
from keras_resnet.weights.sources.source import (
    TENSORFLOW_PADDING,
    Renames,
    Source,
    by_layer,
    cifar10,
)

NAME = re.compile(r"(?P<kind>conv|bn|shortcut|dense)(?P<number>\d*)/(?P<variable>\w+)")


def rename(names: Collection[str]) -> Renames:
    convs = {name.partition("/")[0] for name in names if name.startswith("conv")}
    blocks = (len(convs) - 1) // 6  # per stage
    return by_layer(names, NAME, lambda m: _layer(m["kind"], int(m["number"] or 0), blocks))


def _layer(kind: str, number: int, blocks: int) -> str | None:
    if kind == "dense":
        return LOGITS
    if kind == "shortcut":
        return PROJECTION.format(stage=number + 1, block=1)
    if number <= 1 or not blocks:
        layer = stem_conv(1)
    else:
        block, conv = divmod(number - 2, 2)
        stage, place = divmod(block, blocks)
        layer = BRANCH_CONV.format(stage=stage + 1, block=place + 1, conv=conv + 1)
    return norm_of(layer) if kind == "bn" else layer


# x / 255 minus the mean image of the training split, which is not in the file.
PREPROCESSING = Preprocessing(mean=None, std=(255.0,), image_size=32, crop=1.0)
SOURCE = Source(
    name="robinc94",
    rename=rename,
    traits=cifar10(TENSORFLOW_PADDING, PREPROCESSING),
    layout="HWIO",
    epsilon=1e-3,
    implied=pattern(norm_of(PROJECTION)).pattern + "/.*",
)
