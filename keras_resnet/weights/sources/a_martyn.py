"""github.com/a-martyn/resnet: plain and residual nets for CIFAR-10, 20 to 110 layers, option A.

Both kinds have the same tensors, so that only their user knows which one a file holds; option A
pads its zeros after the channels.
"""

from keras_resnet.preprocessing import Preprocessing
from keras_resnet.weights.sources.source import (
    TORCH,
    TORCH_PADDING,
    ByPattern,
    Source,
    cifar10,
)

# The block that changes shapes is a stack of its own: stack2a, then stack2b.0, stack2b.1, ...
LATER = r"stack(?P<stage>\d)b\.(?P<later>\d+)"
PATTERNS = {
    r"convIn": "stem_conv1",
    r"bnIn": "stem_conv1_bn",
    r"stack(?P<stage>1)\.(?P<block>\d+)\.conv(?P<conv>\d)": "stage{stage}_block{block}_conv{conv}",
    r"stack(?P<stage>1)\.(?P<block>\d+)\.bn(?P<conv>\d)": "stage{stage}_block{block}_conv{conv}_bn",
    r"stack(?P<stage>\d)a\.conv(?P<conv>\d)": "stage{stage}_block1_conv{conv}",
    r"stack(?P<stage>\d)a\.bn(?P<conv>\d)": "stage{stage}_block1_conv{conv}_bn",
    rf"{LATER}\.conv(?P<conv>\d)": "stage{stage}_block{later}_conv{conv}",
    rf"{LATER}\.bn(?P<conv>\d)": "stage{stage}_block{later}_conv{conv}_bn",
    r"fcOut": "logits",
}
MEAN = (0.4918687901200927, 0.49185976472299225, 0.4918583862227116)
STD = (0.24697121702736, 0.24696766978537033, 0.2469719877121087)
SCALING = Preprocessing(
    mean=[255 * value for value in MEAN],
    std=[255 * value for value in STD],
    image_size=32,
    crop=1.0,
)
SOURCE = Source(
    "a_martyn",
    ByPattern(PATTERNS, TORCH, ".", block=1, later=2),
    cifar10(TORCH_PADDING, SCALING, zero_channels="after"),
    options=("A", None),
)
