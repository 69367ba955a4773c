"""Preprocessing of images: from files, arrays or tensors to the input of a network."""

from keras_resnet.preprocessing.modes import (
    MODES,
    mode,
    per_pixel,
    preprocess,
)
from keras_resnet.preprocessing.preprocessing import Preprocess, Preprocessing

__all__ = [
    "MODES",
    "Preprocess",
    "Preprocessing",
    "mode",
    "per_pixel",
    "preprocess",
]
