"""From uint8 pixels to the input of a network; the same code trains, evaluates and serves.

How pixels are scaled belongs to the weights: a network that was trained on BGR images minus
their mean sees noise when it is given RGB between -1 and 1.
"""

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

Interpolation = Literal["bilinear", "bicubic"]
METHODS = {"bilinear": "linear", "bicubic": "cubic"}  # in the words of Keras
KERNELS = {"bilinear": "triangle", "bicubic": "keyscubic"}  # and of TensorFlow


@dataclass(frozen=True)
class Preprocessing:
    """Resizes, crops and scales: (x - mean) / std of RGB pixels between 0 and 255.

    `mean` and `std` broadcast against [height, width, channels]: a number, one a channel, or
    one a pixel. With `bgr` the channels are reversed first, so that `mean` is BGR too. The
    shorter side becomes `image_size / crop` pixels, of which the central square is kept.
    A `mean` of None is the mean image of the training images where nobody kept it: whoever
    has them can `replace` it.
    """

    mean: Any = (0.0,)
    std: Any = (1.0,)
    bgr: bool = False
    image_size: int = 224
    crop: float = 0.875
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        if self.interpolation not in METHODS:
            raise ValueError(
                f"interpolation must be one of {list(METHODS)}, got {self.interpolation!r}"
            )
        if type(self.image_size) is not int or self.image_size < 1:
            raise ValueError(f"image_size must be pixels a side, got {self.image_size!r}")
        if not isinstance(self.crop, int | float) or not 0 < self.crop <= 1:
            raise ValueError(f"crop must be in (0, 1], got {self.crop!r}")
        if not isinstance(self.bgr, bool):
            raise ValueError(f"bgr must be True or False, got {self.bgr!r}")
        for name in ("std",) if self.mean is None else ("mean", "std"):
            values = np.asarray(getattr(self, name))
            if values.dtype.kind not in "fiu" or not np.isfinite(values).all():
                raise ValueError(f"{name} must hold grey levels, got {getattr(self, name)!r}")
            if name == "std" and not values.all():
                raise ValueError("std must not be 0: pixels are divided by it")
            object.__setattr__(self, name, _tuples(values.tolist()))
            shape = np.shape(getattr(self, name))
            if len(shape) == 3 and shape[:2] != (self.image_size, self.image_size):
                raise ValueError(
                    f"{name} is an image of {shape[0]}x{shape[1]} pixels, and fits no images of"
                    f" image_size={self.image_size}"
                )

    def __call__(self, images: Any) -> Any:
        """Maps uint8 images [..., height, width, channels] to float32 [..., size, size, channels].

        One image, or a batch of images of one size.
        """
        return self.normalize(self.resize(images))

    def resize(self, images: Any) -> Any:
        """Scales the shorter side and crops the middle; float32, still 0..255."""
        if len(images.shape) not in (3, 4):
            raise ValueError(
                "images must be [height, width, channels] or [batch, height, width, channels],"
                f" got {tuple(images.shape)}"
            )
        size, batch = self.image_size, list(ops.shape(images)[:-3])
        if images.shape[-3:-1] == (size, size) and self.crop == 1:
            return ops.cast(images, "float32")
        old = ops.cast(ops.stack(ops.shape(images)[-3:-1]), "float32")
        new = ops.floor(old * math.floor(size / self.crop) / ops.min(old))
        # One resampling of the crop alone, as `resize` takes no size that a graph computes.
        images = ops.reshape(images, (-1, *ops.shape(images)[-3:]))
        corner = -ops.round((new - size) / 2)  # halves to even, as torchvision
        images = _resample(images, size, new / old, corner, self.interpolation)
        if self.interpolation == "bicubic":
            images = ops.clip(images, 0, 255)  # it overshoots at edges, and pixels cannot
        return ops.reshape(images, (*batch, size, size, images.shape[-1]))

    def normalize(self, images: Any) -> Any:
        """Maps [..., height, width, channels] of 0..255 to float32 of the same shape."""
        if self.mean is None:
            raise ValueError(
                "the mean image of these weights is not known; give that of their training images:"
                " dataclasses.replace(preprocessing, mean=...)"
            )
        images = ops.cast(images, "float32")
        if self.bgr:
            images = ops.flip(images, axis=-1)
        return (images - np.float32(self.mean)) / np.float32(self.std)


def _resample(
    images: Any, size: int, scale: Any, translation: Any, interpolation: Interpolation
) -> Any:
    """Maps [batch, height, width, channels] to float32 [batch, size, size, channels]."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf  # deferred: the library also runs where TensorFlow is absent

        # The same numbers as the operation of Keras, which makes float32 of a whole photograph and
        # of matrices as large, in a fifth of the time.
        return tf.raw_ops.ScaleAndTranslate(
            images=images,
            size=[size, size],
            scale=scale,
            translation=translation,
            kernel_type=KERNELS[interpolation],
            antialias=True,
        )
    return ops.image.scale_and_translate(
        ops.cast(images, "float32"),
        (images.shape[0], size, size, images.shape[-1]),
        scale=scale,
        translation=translation,
        spatial_dims=(1, 2),
        method=METHODS[interpolation],
        antialias=True,
    )


def _tuples(numbers: Any) -> Any:
    """Makes what JSON reads equal to what was written, and nothing that can be changed."""
    return tuple(map(_tuples, numbers)) if isinstance(numbers, list) else numbers


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


def mode(name: str, *, image_size: int = 224, crop: float = 0.875) -> Preprocessing:
    """Returns a published preprocessing by its name in `MODES`, for another size of image."""
    if name not in MODES:
        raise ValueError(f"preprocessing must be one of {sorted(MODES)}, got {name!r}")
    return replace(MODES[name], image_size=image_size, crop=crop)


def per_pixel(mean: Any) -> Preprocessing:
    """Subtracts the mean image [size, size, channels] of a training split, as the paper did."""
    mean = np.asarray(mean, np.float32)
    if mean.ndim != 3 or mean.shape[0] != mean.shape[1]:
        raise ValueError(f"the mean image must be [size, size, channels], got {mean.shape}")
    rounded = np.round(mean.astype(float), 3)  # grey levels; more digits would be noise
    return Preprocessing(mean=rounded.tolist(), image_size=mean.shape[0], crop=1.0)


def preprocess(images: Any, mode: str = "caffe") -> Any:
    """Scales RGB pixels [..., height, width, 3] of 0..255 as one of `MODES` does.

    Raises:
        ValueError: for an unknown mode, or channels other than three where it has three means.
    """
    if mode not in MODES:
        raise ValueError(f"mode must be one of {sorted(MODES)}, got {mode!r}")
    chosen, channels = MODES[mode], images.shape[-1]
    if len(chosen.mean) not in (1, channels):
        raise ValueError(f"mode={mode!r} needs {len(chosen.mean)} channels, got {channels}")
    return chosen.normalize(images)


@lru_cache
def imagenet_labels() -> tuple[tuple[str, str], ...]:
    """Returns the (WordNet id, name) of the 1,000 classes of ILSVRC 2012, in network order."""
    file = resources.files("keras_resnet") / "imagenet_labels.csv"
    with file.open(encoding="utf-8") as lines:
        return tuple((row["wnid"], row["class_name"]) for row in csv.DictReader(lines))


def decode_predictions(probabilities: Any, top: int = 5) -> list[list[tuple[str, str, float]]]:
    """Names the most probable classes of ImageNet, best first.

    Args:
        probabilities: [batch, 1000].
        top: how many to name.

    Returns:
        For each image a list of (WordNet id, name, probability).
    """
    labels = imagenet_labels()
    rows = np.asarray(ops.convert_to_numpy(probabilities))
    if rows.ndim != 2 or rows.shape[1] != len(labels):
        raise ValueError(f"probabilities must be [batch, {len(labels)}], got {rows.shape}")
    if not 1 <= top <= len(labels):
        raise ValueError(f"top must be between 1 and {len(labels)}, got {top}")
    best = np.argsort(-rows, axis=1, kind="stable")[:, :top]
    return [
        [(*labels[i], float(row[i])) for i in order] for row, order in zip(rows, best, strict=True)
    ]
