"""torchvision's ResNet-18 to 152 and wide 50-2, 101-2 (v1.5), from `.pth` or `.safetensors`.

Many projects use these names: they do not determine a network with another stem, and a network with
this stem can be that of Caffe. The files that torchvision publishes are known by their hash.
"""

from keras_resnet import preprocessing
from keras_resnet.specs import BRANCH_CONV, LOGITS, PROJECTION, norm_of, stem_conv
from keras_resnet.weights.formats.containers import Container
from keras_resnet.weights.infer.proof import Proof
from keras_resnet.weights.sources.source import (
    TORCH,
    TORCH_PADDING,
    NameMap,
    Source,
    Traits,
    imagenet,
)

STEM = {
    "conv1": stem_conv(1),
    "bn1": norm_of(stem_conv(1)),
}
BRANCH = {
    "layer{stage}.{block}.conv{conv}": BRANCH_CONV,
    "layer{stage}.{block}.bn{conv}": norm_of(BRANCH_CONV),
}
SHORTCUT = {
    "layer{stage}.{block}.downsample.0": PROJECTION,
    "layer{stage}.{block}.downsample.1": norm_of(PROJECTION),
}
CLASSIFIER = {"fc": LOGITS}
NAMES = NameMap(STEM | BRANCH | SHORTCUT | CLASSIFIER, TORCH, ".", block=1)
# First digits of the SHA-256 of its weights. The second weights, trained for longer, were measured
# on the central 224 of 232 pixels, the first ones on 224 of 256.
FIRST = ("f37072fd", "b627a593", "0676ba61", "63fe2227", "394f9c45", "95faca4d", "32ee1156")
SECOND = ("11ad3fa6", "cd907fc2", "f82ba261", "9ba9bcbe", "d733dc28")
usual = imagenet(TORCH_PADDING, preprocessing.mode("torch", crop=224 / 256), stride_on="3x3")


def traits(file: Container, proof: Proof) -> Traits:
    found = usual(file, proof)
    if file.sha256.startswith(SECOND) and found.preprocessing:
        found = found._replace(preprocessing=preprocessing.mode("torch", crop=224 / 232))
    return found._replace(known=file.sha256.startswith(FIRST + SECOND))


SOURCE = Source("torchvision", NAMES, traits)
