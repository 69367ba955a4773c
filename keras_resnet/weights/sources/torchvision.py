"""torchvision's ResNet-18 to 152 and wide 50-2, 101-2 (v1.5), from `.pth` or `.safetensors`."""

from keras_resnet import preprocessing
from keras_resnet.weights.formats.containers import Container
from keras_resnet.weights.sources.source import TORCH, ByPattern, Source, Traits

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
# The SHA-256 of its second, longer trained weights begins so; they were measured on the central
# 224 of 232 pixels, and the first ones on 224 of 256.
SECOND = ("11ad3fa6", "cd907fc2", "f82ba261", "9ba9bcbe", "d733dc28")


def traits(file: Container) -> Traits:
    crop = 224 / 232 if file.sha256.startswith(SECOND) else 224 / 256
    return Traits({"stride_on": "3x3"}, preprocessing.mode("torch", crop=crop))


SOURCE = Source("torchvision", ByPattern(PATTERNS, TORCH, ".", block=1), traits)
