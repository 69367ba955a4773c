"""robinc94's ResNet-20 v1 for CIFAR-10 (6n+2, option B, TensorFlow's padding), as `.npz`.

Layers are numbered in the order of the graph; projections have a bias and no BN.
"""

import re

from keras_resnet.preprocessing import Preprocessing
from keras_resnet.weights.sources.source import (
    TENSORFLOW_PADDING,
    Names,
    Renames,
    Source,
    by_layer,
    cifar10,
)

NAME = re.compile(r"(?P<kind>conv|bn|shortcut|dense)(?P<number>\d*)/(?P<variable>\w+)")


def rename(names: Names) -> Renames:
    convs = {name.partition("/")[0] for name in names if name.startswith("conv")}
    blocks = (len(convs) - 1) // 6  # a stage
    return by_layer(names, NAME, lambda m: _layer(m["kind"], int(m["number"] or 0), blocks))


def _layer(kind: str, number: int, blocks: int) -> str | None:
    if kind == "dense":
        return "logits"
    if kind == "shortcut":
        return f"stage{number + 1}_block1_shortcut_conv"
    end = "_bn" if kind == "bn" else ""
    if number <= 1 or not blocks:
        return f"stem_conv1{end}"
    block, conv = divmod(number - 2, 2)
    return f"stage{block // blocks + 1}_block{block % blocks + 1}_conv{conv + 1}{end}"


# x / 255 minus the mean image of the training split, which the file does not hold.
SCALING = Preprocessing(mean=None, std=(255.0,), image_size=32, crop=1.0)
SOURCE = Source(
    name="robinc94",
    rename=rename,
    traits=cifar10(TENSORFLOW_PADDING, SCALING),
    layout="HWIO",
    epsilon=1e-3,
    implied=r"stage\d+_block1_shortcut_conv_bn/.*",
)
