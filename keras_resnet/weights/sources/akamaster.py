"""github.com/akamaster/pytorch_resnet_cifar10: ResNet-20 to 1202 for CIFAR-10, option A or B.

Other projects use the same names for other networks, preprocessing and classes.
"""

from keras_resnet.specs import LOGITS, PROJECTION, norm_of
from keras_resnet.weights.formats.containers import Container
from keras_resnet.weights.infer.proof import Proof
from keras_resnet.weights.sources import torchvision
from keras_resnet.weights.sources.source import (
    TORCH,
    TORCH_CIFAR,
    TORCH_PADDING,
    NameMap,
    Source,
    Traits,
    cifar10,
)

SHORTCUT = {
    "layer{stage}.{block}.shortcut.0": PROJECTION,
    "layer{stage}.{block}.shortcut.1": norm_of(PROJECTION),
}
NAMES = NameMap(
    torchvision.STEM | torchvision.BRANCH | SHORTCUT | {"linear": LOGITS}, TORCH, ".", block=1
)
# First digits of the SHA-256 of its published ResNet-20 and 56.
PUBLISHED = ("12fca82f", "4bfd9763")
usual = cifar10(TORCH_PADDING, TORCH_CIFAR, zero_channels="around")


def traits(file: Container, proof: Proof) -> Traits:
    found = usual(file, proof)
    if (
        "A" in proof.shortcuts and "zero_channels" in found.convention
    ):  # the project has no plain networks
        found = found._replace(convention={**found.convention, "shortcut": "A"})
    return found._replace(known=file.sha256.startswith(PUBLISHED))


SOURCE = Source("akamaster", NAMES, traits)
