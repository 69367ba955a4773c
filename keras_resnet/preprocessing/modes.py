"""Published preprocessings by name; training, evaluation and export use the same code.

The preprocessing belongs to the weights: a network that was trained on BGR images minus their mean
gives wrong results for RGB images between -1 and 1.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from keras_resnet.preprocessing.preprocessing import Preprocessing

__all__ = ["MODES", "mode", "per_pixel", "preprocess"]

_CAFFE = Preprocessing(mean=(103.939, 116.779, 123.68), bgr=True)
_TORCH = Preprocessing(
    mean=(0.485 * 255, 0.456 * 255, 0.406 * 255), std=(0.229 * 255, 0.224 * 255, 0.225 * 255)
)
MODES: Mapping[str, Preprocessing] = {
    "caffe": _CAFFE,  # Caffe models of the authors of arXiv:1512.03385
    "torch": _TORCH,  # torchvision
    "tf": Preprocessing(mean=(127.5,), std=(127.5,)),  # between -1 and 1
    "none": Preprocessing(),
}


def mode(
    name: str, *, image_size: int | tuple[int, int] = 224, crop: float = 0.875
) -> Preprocessing:
    """Returns a published preprocessing with another image size and crop.

    Args:
        name: in `MODES`.
        image_size: pixels per side, or (height, width).
        crop: fraction of a side that the central crop keeps.

    Raises:
        ValueError: for an unknown name, or an invalid size or crop.
    """
    if name not in MODES:
        raise ValueError(f"preprocessing must be one of {sorted(MODES)}, got {name!r}")
    return replace(MODES[name], image_size=image_size, crop=crop)


def per_pixel(mean: Any) -> Preprocessing:
    """Returns the preprocessing that subtracts a mean image, as in arXiv:1512.03385.

    Args:
        mean: the mean image of a training split, [height, width, channels], 0 to 255; also the size
            of images. It is rounded to three decimals.

    Raises:
        ValueError: for another rank.
    """
    mean = np.asarray(mean, np.float32)
    if mean.ndim != 3:
        raise ValueError(f"the mean image must be [height, width, channels], got {mean.shape}")
    rounded = np.round(mean.astype(float), 3)  # of 0..255; more digits would be noise
    return Preprocessing(mean=rounded.tolist(), image_size=mean.shape[:2], crop=1.0)


def preprocess(images: Any, mode: str = "caffe") -> Any:
    """Normalizes pixels as one of `MODES`; images are neither resized nor cropped.

    Args:
        images: an array or tensor [..., height, width, channels] of 0..255, RGB, of any dtype.
        mode: a name in `MODES`.

    Returns:
        A float32 tensor of the same shape.

    Raises:
        ValueError: for an unknown mode, or if a mode with a mean per channel does not have three
            channels.
    """
    if mode not in MODES:
        raise ValueError(f"mode must be one of {sorted(MODES)}, got {mode!r}")
    chosen = MODES[mode]
    channels = images.shape[-1]
    if len(chosen.mean) not in (1, channels):
        raise ValueError(f"mode={mode!r} needs {len(chosen.mean)} channels, got {channels}")
    return chosen.normalize(images)
