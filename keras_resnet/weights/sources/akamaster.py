"""github.com/akamaster/pytorch_resnet_cifar10: ResNet-20 to 1202 for CIFAR-10, option A or B.

Others use the same names for other networks, pixels and classes, of which nothing is known.
"""

from keras_resnet.weights.formats.containers import Container
from keras_resnet.weights.sources import torchvision
from keras_resnet.weights.sources.source import (
    CIFAR10,
    TORCH,
    TORCH_CIFAR,
    TORCH_PADDING,
    ByPattern,
    Source,
    Traits,
    cifar_network,
    cifar_stem,
    of_images,
)
from keras_resnet.weights.structure import Proof

PATTERNS = torchvision.TRUNK | {
    rf"{torchvision.BLOCK}\.shortcut\.0": "stage{stage}_block{block}_shortcut_conv",
    rf"{torchvision.BLOCK}\.shortcut\.1": "stage{stage}_block{block}_shortcut_conv_bn",
    r"linear": "logits",
}
# How the SHA-256 of its published files begins, ResNet-20 and 56.
PUBLISHED = ("12fca82f", "4bfd9763")


def traits(file: Container, proof: Proof) -> Traits:
    if not cifar_network(proof):
        return Traits(convention=TORCH_PADDING)
    fields = {**TORCH_PADDING, **cifar_stem(proof), "zero_channels": "around"}
    if "A" in proof.shortcuts:  # it has no plain networks
        fields["shortcut"] = "A"
    if not of_images(proof, classes=10):
        return Traits(convention=fields)
    known = file.sha256.startswith(PUBLISHED)
    return Traits(convention=fields, preprocessing=TORCH_CIFAR, labels=CIFAR10, known=known)


SOURCE = Source("akamaster", ByPattern(PATTERNS, TORCH, ".", block=1), traits)
