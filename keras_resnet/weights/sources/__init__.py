"""Sources of weights: one module per project, with its names, layouts and conventions."""

from collections.abc import Mapping

from keras_resnet.weights.sources import (
    a_martyn,
    akamaster,
    caffe,
    detectron2,
    keras_applications,
    mlcommons_tiny,
    native,
    robinc94,
    timm,
    torchvision,
)
from keras_resnet.weights.sources.source import Source

# If two sources know the same names, the first one is used.
MODULES = (
    native,
    keras_applications,
    torchvision,
    timm,
    akamaster,
    a_martyn,
    detectron2,
    caffe,
    robinc94,
    mlcommons_tiny,
)
SOURCES: Mapping[str, Source] = {module.SOURCE.name: module.SOURCE for module in MODULES}
