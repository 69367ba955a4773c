"""The MSRA models of Detectron, `R-50.pkl` and `R-101.pkl`: v1, BGR, statistics folded.

Statistics of batch normalizations are folded into scale and shift, which must not be trained.
"""

from collections.abc import Collection

from keras_resnet.preprocessing import Preprocessing
from keras_resnet.specs import (
    BRANCH_CONV,
    LOGITS,
    NORM_SUFFIX,
    PROJECTION,
    norm_of,
    stem_conv,
)
from keras_resnet.weights.sources.source import (
    TORCH_PADDING,
    ByPattern,
    Renames,
    Source,
    Variables,
    imagenet,
)

BLOCK = r"res(?P<stage>\d)_(?P<block>\d+)"
PATTERNS = {
    r"conv1": stem_conv(1),
    r"res_conv1_bn": norm_of(stem_conv(1)),
    rf"{BLOCK}_branch1": PROJECTION,
    rf"{BLOCK}_branch1_bn": norm_of(PROJECTION),
    rf"{BLOCK}_branch2(?P<conv>[abc])": BRANCH_CONV,
    rf"{BLOCK}_branch2(?P<conv>[abc])_bn": norm_of(BRANCH_CONV),
    r"fc1000|pred": LOGITS,
}
VARIABLES = Variables(
    {"s": "gamma", "b": "beta", "rm": "mean", "riv": "variance"},
    {"w": "kernel", "b": "bias"},
)
by_pattern = ByPattern(PATTERNS, VARIABLES, "_", stage=-1, block=1)


def rename(names: Collection[str]) -> Renames:
    """Renames weights; the momentum of the optimizer, stored beside them, is ignored."""
    return {**by_pattern(names), **{name: "" for name in names if name.endswith("_momentum")}}


PREPROCESSING = Preprocessing(mean=(103.53, 116.28, 123.675), bgr=True)
SOURCE = Source(
    "detectron2",
    rename,
    imagenet(TORCH_PADDING, PREPROCESSING, stride_on="first"),
    implied=rf".*{NORM_SUFFIX}/(mean|variance)",
    frozen_norms=True,
)
