"""What the files of every format are written from."""

from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from keras_resnet.manifest import Manifest

__all__ = ["Source"]


@dataclass(frozen=True)
class Source:
    """A folded network, and what a format may need to know of it.

    Args:
        network: from normalized pixels to logits, of plain Keras layers, as `fold` makes it.
        manifest: says how pixels are normalized, what follows the logits, and the labels.
        endpoints: names of feature maps, each with the layer whose output it is.
        calibration: for int8, float32 images of 0..255 [n, height, width, channels].
        tflite_features: whether TFLite files return the pooled features, too.
    """

    network: keras.Model
    manifest: Manifest
    endpoints: dict[str, str] = field(default_factory=dict)
    calibration: np.ndarray[Any, Any] | None = None
    tflite_features: bool = False
