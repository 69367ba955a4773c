"""`.caffemodel` files of the authors of ResNet-50, 101 and 152: v1, BGR, pooling that rounds up.

The preprocessing subtracts the mean image `ResNet_mean.binaryproto` if it is in the same folder,
otherwise its channel means, as is usual.
"""

from dataclasses import replace

from keras_resnet import preprocessing
from keras_resnet.specs import BRANCH_CONV, LOGITS, PROJECTION, norm_of, stem_conv
from keras_resnet.weights.formats import caffe_files
from keras_resnet.weights.formats.containers import Container, reading
from keras_resnet.weights.infer.proof import Proof
from keras_resnet.weights.sources.source import (
    CAFFE,
    TORCH_PADDING,
    ByPattern,
    Source,
    Traits,
    imagenet,
)

FIRST = r"(?P<stage>\d)(?P<block>[a-z])"  # res2a, res2b, res2c
LATER = r"(?P<stage>\d)b(?P<later>\d+)"  # res4a, res4b1 ... res4b22
LATER_CONV = BRANCH_CONV.replace("{block}", "{later}")
PATTERNS = {
    r"conv1": stem_conv(1),
    r"(bn|scale)_conv1": norm_of(stem_conv(1)),
    rf"res{FIRST}_branch1": PROJECTION,
    rf"(bn|scale){FIRST}_branch1": norm_of(PROJECTION),
    rf"res{FIRST}_branch2(?P<conv>[abc])": BRANCH_CONV,
    rf"(bn|scale){FIRST}_branch2(?P<conv>[abc])": norm_of(BRANCH_CONV),
    rf"res{LATER}_branch2(?P<conv>[abc])": LATER_CONV,
    rf"(bn|scale){LATER}_branch2(?P<conv>[abc])": norm_of(LATER_CONV),
    r"fc1000": LOGITS,
}
MEAN_FILE = "ResNet_mean.binaryproto"
usual = imagenet(TORCH_PADDING, preprocessing.mode("caffe"), stride_on="first", stem_pool="ceil")


def traits(file: Container, proof: Proof) -> Traits:
    found = usual(file, proof)
    mean_file = file.path.with_name(MEAN_FILE)
    if found.preprocessing is None or not mean_file.is_file():
        return found
    with reading(mean_file):
        mean = caffe_files.read_mean(mean_file.read_bytes())
        return found._replace(preprocessing=replace(found.preprocessing, mean=mean.tolist()))


SOURCE = Source("caffe", ByPattern(PATTERNS, CAFFE, "/", stage=-1, later=1), traits)
