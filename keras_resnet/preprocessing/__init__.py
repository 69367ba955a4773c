"""From the bytes of a file or the pixels of an array to the input of a network."""

from keras_resnet.preprocessing.modes import (
    MODES,
    decode_predictions,
    mode,
    per_pixel,
    preprocess,
)
from keras_resnet.preprocessing.preprocessing import Preprocess, Preprocessing

__all__ = [
    "MODES",
    "Preprocess",
    "Preprocessing",
    "decode_predictions",
    "mode",
    "per_pixel",
    "preprocess",
]
