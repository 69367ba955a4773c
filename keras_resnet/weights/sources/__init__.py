"""Whom weights come from: one file a source, each a mapping of names, layouts and traits."""

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

# Where two know the same names, the first one is believed.
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
