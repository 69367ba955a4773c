"""`Preprocessing`: how images are mapped to the input of a network, as data."""

import operator
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Self

import keras
import numpy as np
from keras import ops

from keras_resnet.preprocessing import resizing
from keras_resnet.preprocessing.pixels import converted, pixels
from keras_resnet.preprocessing.resizing import METHODS, Interpolation
from keras_resnet.preprocessing.views import View

__all__ = ["Preprocess", "Preprocessing"]


@dataclass(frozen=True)
class Preprocessing:
    """Resizes, crops and normalizes images: (x - mean) / std of RGB pixels of 0..255.

    Args:
        mean: a number, one per channel, or an image [height, width, channels], 0 to 255. None if
            the weights need the mean image of their training split and it is unknown; set it with
            `dataclasses.replace`.
        std: a number, one per channel, or an image; not 0.
        bgr: whether channels are reversed first; then `mean` and `std` are in the order BGR.
        image_size: pixels per side, or (height, width), of the result.
        crop: an image is scaled to cover `image_size / crop`, and the central `image_size` is kept.
            For a square, the shorter side becomes `image_size / crop` pixels.
        interpolation: "bilinear" or "bicubic", with antialiasing.

    Raises:
        ValueError: for an invalid value, naming the field.
    """

    mean: Any = (0.0,)
    std: Any = (1.0,)
    bgr: bool = False
    image_size: int | tuple[int, int] = 224
    crop: float = 0.875
    interpolation: Interpolation = "bilinear"
    _bound: ClassVar[int | None] = None  # channels of the network; not stored

    def __post_init__(self) -> None:
        if self.interpolation not in METHODS:
            raise ValueError(
                f"interpolation must be one of {list(METHODS)}, got {self.interpolation!r}"
            )
        object.__setattr__(self, "image_size", _size(self.image_size))
        if not isinstance(self.crop, int | float) or not 0 < self.crop <= 1:
            raise ValueError(f"crop must be in (0, 1], got {self.crop!r}")
        if not isinstance(self.bgr, bool):
            raise ValueError(f"bgr must be True or False, got {self.bgr!r}")
        for name in ("std",) if self.mean is None else ("mean", "std"):
            object.__setattr__(self, name, self._levels(name))
        counts = [
            count for count in map(_channels, (self.mean, self.std)) if count not in (None, 1)
        ]
        if len(set(counts)) > 1:
            raise ValueError(f"mean and std must have the same channels, got {counts}")

    def _levels(self, name: str) -> Any:
        """Returns mean or std as numbers and tuples, as they are after JSON."""
        values = np.asarray(getattr(self, name))
        if values.dtype.kind not in "fiu" or not np.isfinite(values).all():
            raise ValueError(f"{name} must be finite numbers, got {getattr(self, name)!r}")
        if name == "std" and not values.all():
            raise ValueError("std must not be 0: pixels are divided by it")
        if values.ndim not in (0, 1, 3) or not values.size:
            raise ValueError(
                f"{name} must be a number, one per channel, or [height, width, channels], got the"
                f" shape {values.shape}"
            )
        if values.ndim == 3 and values.shape[:2] != self.size:
            raise ValueError(
                f"{name} is an image of {values.shape[0]}x{values.shape[1]} pixels, which does not"
                f" fit image_size={self.image_size}"
            )
        return _tuples(values.tolist())

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the result."""
        if isinstance(self.image_size, int):
            return self.image_size, self.image_size
        return self.image_size

    @property
    def channels(self) -> int | None:
        """Channels of an image; None if neither mean, std nor a network determine them."""
        said = [_channels(self.mean), _channels(self.std)]
        known = [count for count in (self._bound, *said) if count]
        return max(known) if known else None

    def for_channels(self, channels: int) -> Self:
        """Returns the preprocessing for a network with these channels; images are converted.

        Raises:
            ValueError: if mean or std have other channels.
        """
        own = replace(self)
        if own.channels not in (None, channels):
            raise ValueError(
                f"the preprocessing has {own.channels} channels, the network has {channels}"
            )
        object.__setattr__(own, "_bound", channels)
        return own

    def __call__(self, images: Any) -> Any:
        """Resizes, crops and normalizes images: returns the input of a network.

        It is the preprocessing of evaluation. It can be called in functions that TensorFlow, XLA or
        JAX compile. For a symbolic Keras tensor it becomes a layer, which is saved with its model.

        Args:
            images: pixels of 0..255 as an array or tensor [height, width, channels] or [batch,
                height, width, channels] of any dtype, or [height, width] if grey; a PIL image; the
                path of a JPEG, PNG or WebP; or a list of these, which may have different sizes.

        Returns:
            float32 [*size, channels], or [batch, *size, channels] for a batch or a list. Grey
            images become RGB, and RGB images grey, if the network needs it.

        Raises:
            TypeError: for anything else.
            ValueError: for channels that cannot be converted, for files that cannot be decoded, and
                for values that cannot be 0..255, such as floats between 0 and 1; values are not
                checked while a graph is traced.
        """
        if isinstance(images, list | tuple):
            return self._stacked(images)
        if keras.utils.is_keras_tensor(images):
            layer = Preprocess(self)
            layer.compute_output_shape(images.shape)  # a shorter error than that of Keras
            return layer(images)
        return self.normalize(self.resize(pixels(images, self.channels)))

    def _stacked(self, images: list[Any] | tuple[Any, ...]) -> Any:
        found = [self(image) for image in images]
        for one in found:
            if len(one.shape) != 3:
                raise ValueError(f"a list must contain single images, got rank {len(one.shape)}")
        if not found:
            raise ValueError("a list must contain at least one image, got none")
        return ops.stack(found)

    def resize(self, images: Any) -> Any:
        """Scales images [..., height, width, channels] to cover `size / crop`, and crops them.

        Returns:
            float32 [..., *size, channels] of 0..255.

        Raises:
            ValueError: unless the rank is 3 or 4.
        """
        return resizing.resize(images, self.size, self.crop, self.interpolation)

    def scaled(self, images: Any) -> Any:
        """Scales images [..., height, width, channels] as `resize` does, and crops nothing.

        In functions of TensorFlow; see `resizing.scaled`.
        """
        return resizing.scaled(images, self.size, self.crop, self.interpolation)

    def view(self, size: Any) -> View:
        """Returns what `resize` needs of an image of this height and width, integers [2].

        For decoders, in graphs of TensorFlow; see `resizing.view`.
        """
        return resizing.view(size, self.size, self.crop, self.interpolation)

    def normalize(self, images: Any) -> Any:
        """Normalizes images [..., height, width, channels] of 0..255 to float32 of that shape.

        Raises:
            ValueError: if mean or std have other channels, or the mean is unknown.
        """
        if self.mean is None:
            raise ValueError(
                "the mean image of these weights is unknown; set that of their training images:"
                " dataclasses.replace(preprocessing, mean=...)"
            )
        images = ops.cast(images, "float32")
        if self.channels and images.shape[-1] not in (None, self.channels):
            raise ValueError(
                f"images must have {self.channels} channels, got {tuple(images.shape)}"
            )
        if self.bgr:
            images = ops.flip(images, axis=-1)
        mean, std = (_row(values, images.shape[-2]) for values in (self.mean, self.std))
        return (images - mean) / std


@keras.saving.register_keras_serializable("keras_resnet")
class Preprocess(keras.layers.Layer):
    """A layer that applies a `Preprocessing`.

    Maps [batch, height, width, channels] of 0..255, of any size and dtype, to float32 [batch,
    *size, channels].
    """

    def __init__(
        self,
        preprocessing: Preprocessing | Mapping[str, Any],
        channels: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            **{**kwargs, "dtype": "float32"}
        )  # pixels need it under every dtype policy
        if isinstance(preprocessing, Mapping):  # from the configuration in a file of Keras
            preprocessing = Preprocessing(**preprocessing)
        self._preprocessing = preprocessing.for_channels(channels) if channels else preprocessing

    def call(self, inputs: Any) -> Any:
        return self._preprocessing(inputs)

    def compute_output_shape(self, input_shape: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(input_shape) != 4 or input_shape[-1] is None:
            raise ValueError(
                f"images must be [batch, height, width, channels], got {tuple(input_shape)}"
            )
        channels = converted(input_shape[-1], self._preprocessing.channels)
        return (input_shape[0], *self._preprocessing.size, channels)

    def get_config(self) -> dict[str, Any]:
        own = self._preprocessing
        return {**super().get_config(), "preprocessing": asdict(own), "channels": own.channels}


def _row(values: Any, width: int | None) -> Any:
    """Repeats one number per channel along a row of an image, float32.

    It subtracts and divides to the same result, in a fifth of the time: TensorFlow broadcasts three
    numbers one by one.
    """
    values = np.float32(values)
    return np.tile(values, (width, 1)) if width and values.shape == (3,) else values


def _size(size: Any) -> int | tuple[int, int]:
    """Converts a size to pixels per side, or to (height, width) if they differ, as ints."""
    pair = size if isinstance(size, list | tuple) else (size, size)
    try:
        whole = [operator.index(side) for side in pair if not isinstance(side, bool)]
    except TypeError:
        whole = []
    if len(pair) != 2 or len(whole) != 2 or min(whole) < 1:
        raise ValueError(f"image_size must be pixels per side, or (height, width), got {size!r}")
    height, width = whole
    return height if height == width else (height, width)


def _channels(values: Any) -> int | None:
    """Returns the channels of a mean or std; None for one number, which fits all channels."""
    if not isinstance(values, tuple):
        return None
    if isinstance(values[0], tuple):
        return len(values[0][0])
    return len(values) if len(values) > 1 else None


def _tuples(numbers: Any) -> Any:
    """Converts lists to tuples: immutable, and equal before and after JSON."""
    return tuple(map(_tuples, numbers)) if isinstance(numbers, list) else numbers
