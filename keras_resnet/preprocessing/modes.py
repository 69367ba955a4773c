"""From uint8 pixels to the input of a network; the same code trains, evaluates and serves.

How pixels are scaled belongs to the weights: a network that was trained on BGR images minus
their mean sees noise when it is given RGB between -1 and 1.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from keras_resnet.preprocessing.preprocessing import Preprocessing

_CAFFE = Preprocessing(mean=(103.939, 116.779, 123.68), bgr=True)
_TORCH = Preprocessing(
    mean=(0.485 * 255, 0.456 * 255, 0.406 * 255), std=(0.229 * 255, 0.224 * 255, 0.225 * 255)
)
MODES: Mapping[str, Preprocessing] = {
    "caffe": _CAFFE,  # the authors' Caffe models
    "torch": _TORCH,  # torchvision
    "tf": Preprocessing(mean=(127.5,), std=(127.5,)),  # between -1 and 1
    "none": Preprocessing(),
}


def mode(
    name: str, *, image_size: int | tuple[int, int] = 224, crop: float = 0.875
) -> Preprocessing:
    """Returns a published preprocessing by its name in `MODES`, for another size of image."""
    if name not in MODES:
        raise ValueError(f"preprocessing must be one of {sorted(MODES)}, got {name!r}")
    return replace(MODES[name], image_size=image_size, crop=crop)


def per_pixel(mean: Any) -> Preprocessing:
    """Subtracts the mean image [height, width, channels] of a training split, as the paper did."""
    mean = np.asarray(mean, np.float32)
    if mean.ndim != 3:
        raise ValueError(f"the mean image must be [height, width, channels], got {mean.shape}")
    rounded = np.round(mean.astype(float), 3)  # grey levels; more digits would be noise
    return Preprocessing(mean=rounded.tolist(), image_size=mean.shape[:2], crop=1.0)


def preprocess(images: Any, mode: str = "caffe") -> Any:
    """Scales RGB pixels [..., height, width, 3] of 0..255 as one of `MODES` does.

    Raises:
        ValueError: for an unknown mode, or channels other than three where it has three means.
    """
    if mode not in MODES:
        raise ValueError(f"mode must be one of {sorted(MODES)}, got {mode!r}")
    chosen = MODES[mode]
    channels = images.shape[-1]
    if len(chosen.mean) not in (1, channels):
        raise ValueError(f"mode={mode!r} needs {len(chosen.mean)} channels, got {channels}")
    return chosen.normalize(images)
