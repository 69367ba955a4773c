"""github.com/a-martyn/resnet: plain and residual nets for CIFAR-10, 20 to 110 layers, option A.

Both kinds have the same tensors: a file does not determine the shortcut. Option A adds zeros after
the channels.
"""

from keras_resnet.preprocessing import Preprocessing
from keras_resnet.specs import BRANCH_CONV, LOGITS, norm_of, stem_conv
from keras_resnet.weights.sources.source import (
    TORCH,
    TORCH_PADDING,
    ByPattern,
    Source,
    cifar10,
)

# The first block of a stage is a stack of its own: stack2a, then stack2b.0, stack2b.1, ...
LATER = r"stack(?P<stage>\d)b\.(?P<later>\d+)"
FIRST_CONV = BRANCH_CONV.replace("{block}", "1")
LATER_CONV = BRANCH_CONV.replace("{block}", "{later}")
PATTERNS = {
    r"convIn": stem_conv(1),
    r"bnIn": norm_of(stem_conv(1)),
    r"stack(?P<stage>1)\.(?P<block>\d+)\.conv(?P<conv>\d)": BRANCH_CONV,
    r"stack(?P<stage>1)\.(?P<block>\d+)\.bn(?P<conv>\d)": norm_of(BRANCH_CONV),
    r"stack(?P<stage>\d)a\.conv(?P<conv>\d)": FIRST_CONV,
    r"stack(?P<stage>\d)a\.bn(?P<conv>\d)": norm_of(FIRST_CONV),
    rf"{LATER}\.conv(?P<conv>\d)": LATER_CONV,
    rf"{LATER}\.bn(?P<conv>\d)": norm_of(LATER_CONV),
    r"fcOut": LOGITS,
}
MEAN = (0.4918687901200927, 0.49185976472299225, 0.4918583862227116)
STD = (0.24697121702736, 0.24696766978537033, 0.2469719877121087)
PREPROCESSING = Preprocessing(
    mean=[255 * value for value in MEAN],
    std=[255 * value for value in STD],
    image_size=32,
    crop=1.0,
)
SOURCE = Source(
    "a_martyn",
    ByPattern(PATTERNS, TORCH, ".", block=1, later=2),
    cifar10(TORCH_PADDING, PREPROCESSING, zero_channels="after"),
    options=("A", None),
)
