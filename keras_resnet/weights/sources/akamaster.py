"""github.com/akamaster/pytorch_resnet_cifar10: ResNet-20 to 1202 for CIFAR-10, option A or B."""

from keras_resnet.weights.sources import torchvision
from keras_resnet.weights.sources.source import (
    CIFAR10,
    TORCH,
    TORCH_CIFAR,
    ByPattern,
    Source,
    fixed,
)

PATTERNS = torchvision.TRUNK | {
    rf"{torchvision.BLOCK}\.shortcut\.0": "stage{stage}_block{block}_shortcut_conv",
    rf"{torchvision.BLOCK}\.shortcut\.1": "stage{stage}_block{block}_shortcut_conv_bn",
    r"linear": "logits",
}
SOURCE = Source(
    name="akamaster",
    rename=ByPattern(PATTERNS, TORCH, ".", block=1),
    # Its option A pads half of the zero channels before, and half after.
    traits=fixed(TORCH_CIFAR, CIFAR10, zero_channels="around"),
)
