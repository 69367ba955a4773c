"""torchvision's ResNet-18 to 152 and wide 50-2, 101-2 (v1.5), from `.pth` or `.safetensors`.

Its names are everybody's: of a network with another stem they say nothing, and even one with this
stem can be Caffe's. The files that torchvision publishes are known by their hash.
"""

from keras_resnet import preprocessing
from keras_resnet.weights.formats.containers import Container
from keras_resnet.weights.infer.proof import Proof
from keras_resnet.weights.sources.source import (
    TORCH,
    TORCH_PADDING,
    ByPattern,
    Source,
    Traits,
    imagenet,
)

BLOCK = r"layer(?P<stage>\d+)\.(?P<block>\d+)"
TRUNK = {
    r"conv1": "stem_conv1",
    r"bn1": "stem_conv1_bn",
    rf"{BLOCK}\.conv(?P<conv>\d)": "stage{stage}_block{block}_conv{conv}",
    rf"{BLOCK}\.bn(?P<conv>\d)": "stage{stage}_block{block}_conv{conv}_bn",
}
PATTERNS = TRUNK | {
    rf"{BLOCK}\.downsample\.0": "stage{stage}_block{block}_shortcut_conv",
    rf"{BLOCK}\.downsample\.1": "stage{stage}_block{block}_shortcut_conv_bn",
    r"fc": "logits",
}
# How the SHA-256 of its weights begins. The second ones, trained for longer, were measured on the
# central 224 of 232 pixels, and the first ones on 224 of 256.
FIRST = ("f37072fd", "b627a593", "0676ba61", "63fe2227", "394f9c45", "95faca4d", "32ee1156")
SECOND = ("11ad3fa6", "cd907fc2", "f82ba261", "9ba9bcbe", "d733dc28")
usual = imagenet(TORCH_PADDING, preprocessing.mode("torch", crop=224 / 256), stride_on="3x3")


def traits(file: Container, proof: Proof) -> Traits:
    found = usual(file, proof)
    if file.sha256.startswith(SECOND) and found.preprocessing:
        found = found._replace(preprocessing=preprocessing.mode("torch", crop=224 / 232))
    return found._replace(known=file.sha256.startswith(FIRST + SECOND))


SOURCE = Source("torchvision", ByPattern(PATTERNS, TORCH, ".", block=1), traits)
