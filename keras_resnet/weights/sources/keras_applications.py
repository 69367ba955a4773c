"""keras.applications ResNet-50, 101 and 152, v1 and v2, from `.h5`, `.weights.h5` or `.keras`.

All convolutions have biases, except two in a block of v2. v2 strides in the last block of a stage,
and its first BN follows the pooling.
"""

from keras_resnet import preprocessing
from keras_resnet.specs import (
    BRANCH_CONV,
    FINAL,
    LOGITS,
    PREACT,
    PROJECTION,
    norm_of,
    stem_conv,
)
from keras_resnet.weights.disk import digest
from keras_resnet.weights.formats.containers import Container
from keras_resnet.weights.infer.proof import Proof
from keras_resnet.weights.sources.source import (
    KERAS,
    TORCH_PADDING,
    ByPattern,
    Source,
    Traits,
    imagenet,
)

BLOCK = r"conv(?P<stage>\d+)_block(?P<block>\d+)"
PATTERNS = {
    r"conv1_conv": stem_conv(1),
    r"conv1_bn": norm_of(stem_conv(1)),
    rf"{BLOCK}_preact_bn": norm_of(PREACT),
    rf"{BLOCK}_0_conv": PROJECTION,
    rf"{BLOCK}_0_bn": norm_of(PROJECTION),
    rf"{BLOCK}_(?P<conv>[123])_conv": BRANCH_CONV,
    rf"{BLOCK}_(?P<conv>[123])_bn": norm_of(BRANCH_CONV),
    r"post_bn": norm_of(FINAL),
    r"predictions": LOGITS,
}
URL = "https://storage.googleapis.com/tensorflow/keras-applications/resnet/"
# Networks of this package: official file, MD5.
OFFICIAL = {
    "resnet50": ("resnet50", "2cb95161c43110f7111970584f804107"),
    "resnet101": ("resnet101", "f1aeb4b969a6efcfb50fad2f0c20cfc5"),
    "resnet152": ("resnet152", "100835be76be38e30d865e96f2aaae62"),
    "resnet50_v2": ("resnet50v2", "3ef43a0b657b3be2300d5770ece849e0"),
    "resnet101_v2": ("resnet101v2", "6343647c601c52e1368623803854d971"),
    "resnet152_v2": ("resnet152v2", "a49b44d1979771252814e80f8ec446f9"),
}


V2_PADDING = {**TORCH_PADDING, "stride_block": "last"}
usual_v1 = imagenet(TORCH_PADDING, preprocessing.mode("caffe"), stride_on="first")
usual_v2 = imagenet(V2_PADDING, preprocessing.mode("tf"), stride_on="3x3")


def traits(file: Container, proof: Proof) -> Traits:
    found = (usual_v2 if proof.preact else usual_v1)(file, proof)
    return found._replace(known=_official(file))


def _official(file: Container) -> bool:
    names = [f"{name}_weights_tf_dim_ordering_tf_kernels" for name, _ in OFFICIAL.values()]
    if not file.path.name.startswith(tuple(names)):
        return False
    return digest(file.path, "md5") in {md5 for _, md5 in OFFICIAL.values()}


SOURCE = Source(
    "keras_applications",
    ByPattern(PATTERNS, KERAS, "/", stage=-1),
    traits,
    layout="HWIO",
    epsilon=1.001e-5,
)
