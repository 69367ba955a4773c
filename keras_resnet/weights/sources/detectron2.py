"""The MSRA models of Detectron, `R-50.pkl` and `R-101.pkl`: v1, BGR, statistics folded.

Their batch normalizations are a scale and a shift, which hold only while nobody trains them.
"""

from keras_resnet.preprocessing import Preprocessing
from keras_resnet.weights.sources.source import (
    TORCH_PADDING,
    ByPattern,
    Names,
    Renames,
    Source,
    Variables,
    imagenet,
)

BLOCK = r"res(?P<stage>\d)_(?P<block>\d+)"
PATTERNS = {
    r"conv1": "stem_conv1",
    r"res_conv1_bn": "stem_conv1_bn",
    rf"{BLOCK}_branch1": "stage{stage}_block{block}_shortcut_conv",
    rf"{BLOCK}_branch1_bn": "stage{stage}_block{block}_shortcut_conv_bn",
    rf"{BLOCK}_branch2(?P<conv>[abc])": "stage{stage}_block{block}_conv{conv}",
    rf"{BLOCK}_branch2(?P<conv>[abc])_bn": "stage{stage}_block{block}_conv{conv}_bn",
    r"fc1000|pred": "logits",
}
VARIABLES = Variables(
    {"s": "gamma", "b": "beta", "rm": "mean", "riv": "variance"},
    {"w": "kernel", "b": "bias"},
)
by_pattern = ByPattern(PATTERNS, VARIABLES, "_", stage=-1, block=1)


def rename(names: Names) -> Renames:
    """The optimizer's momentum may lie beside each weight."""
    return {**by_pattern(names), **{name: "" for name in names if name.endswith("_momentum")}}


SCALING = Preprocessing(mean=(103.53, 116.28, 123.675), bgr=True)
SOURCE = Source(
    "detectron2",
    rename,
    imagenet(TORCH_PADDING, SCALING, stride_on="first"),
    implied=r".*_bn/(mean|variance)",
    frozen_norms=True,
)
