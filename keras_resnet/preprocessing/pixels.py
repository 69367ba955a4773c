"""Images as users have them: arrays, tensors, PIL images and files, grey or in colour."""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

COLOURS = {1: "L", 3: "RGB", 4: "RGBA"}  # in the words of PIL
DEEP = ("I", "F", "I;")  # PIL modes of more than 8 bits, which `convert` cuts off at 255
LUMINANCE = (19_595, 38_470, 7_471)  # PIL's weights of red, green and blue, in units of 2^-16


def pixels(image: Any, channels: int | None = None) -> Any:
    """Returns the pixels of an image, or of a batch in one array: [..., height, width, channels].

    Args:
        image: an array or tensor, [height, width] if it is grey; a PIL image; or the path of a
            file.
        channels: of the network. Grey becomes RGB and RGB grey as PIL does it. By default an array
            keeps its channels, and PIL images and files become RGB.

    Raises:
        TypeError: for anything else.
        ValueError: for channels that cannot be converted, a broken file, and levels that are not
            between 0 and 255, as far as they are known while a graph is traced.
    """
    if isinstance(image, str | os.PathLike):
        return _read(Path(image).expanduser(), channels or 3)
    if hasattr(image, "convert") and hasattr(image, "mode"):
        return _of_pil(image, channels or 3)
    if not hasattr(image, "shape") or not hasattr(image, "dtype"):
        raise TypeError(
            "images must be arrays, tensors, PIL images, paths of files, or a list of these;"
            f" got {_short(image)}"
        )
    _check_levels(image)
    return with_channels(image, channels)


def with_channels(images: Any, channels: int | None) -> Any:
    """Turns grey images into RGB or RGB into grey, as PIL does, where a network takes the other."""
    if len(images.shape) == 2:
        images = images[..., np.newaxis]
    found = images.shape[-1]
    if found is None or converted(found, channels) == found:
        return images
    return ops.repeat(images, 3, axis=-1) if found == 1 else _grey(images)


def converted(found: int, channels: int | None) -> int:
    """Returns how many channels an image of `found` channels gets for a network of `channels`.

    Raises:
        ValueError: if they are neither the same, nor grey and RGB.
    """
    if channels is None or found == channels:
        return found
    if {found, channels} == {1, 3}:
        return channels
    raise ValueError(
        f"the network takes {channels} channels, the images have {found}; only grey (1) and RGB (3)"
        " are converted into each other"
    )


def _grey(images: Any) -> Any:
    dtype = images.dtype
    if "int" not in str(dtype):
        weights = ops.cast(np.array(LUMINANCE) / 2**16, dtype)
        return ops.sum(images * weights, axis=-1, keepdims=True)
    levels = ops.cast(images, "int32") * np.array(LUMINANCE, "int32")
    rounded = (ops.sum(levels, axis=-1, keepdims=True) + 2**15) // 2**16
    return ops.cast(rounded, dtype)


def _of_pil(image: Any, channels: int) -> np.ndarray[Any, Any]:
    if channels not in COLOURS:
        raise ValueError(f"the network takes {channels} channels; a PIL image has 1, 3 or 4")
    if image.mode.startswith(DEEP):
        raise ValueError(
            f"PIL images must have 8 bits per channel, got mode {image.mode!r}; scale its levels to"
            " 0..255 and convert it to 'L' or 'RGB'"
        )
    return np.asarray(image.convert(COLOURS[channels])).reshape(image.height, image.width, channels)


def _read(path: Path, channels: int) -> Any:
    """Decodes a file as the export does: what would cost too much is refused first."""
    if channels not in COLOURS:
        raise ValueError(f"{path}: images in files have 1, 3 or 4 channels, not {channels}")
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    try:
        import tensorflow as tf
    except ImportError as error:
        raise ValueError(
            f"{path} needs TensorFlow to be decoded; open it with PIL and pass the image"
        ) from error
    try:
        return _decoder(channels)(tf.constant(path.read_bytes()))
    except tf.errors.InvalidArgumentError as error:
        raise ValueError(f"{path} cannot be decoded: {_reason(error)}") from error


def _reason(error: Any) -> str:
    from keras_resnet.preprocessing import decoding

    return decoding.reason(error.message)


@lru_cache
def _decoder(channels: int) -> Any:
    import tensorflow as tf

    from keras_resnet.preprocessing import decoding

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    def decode(data: Any) -> Any:
        with tf.control_dependencies([decoding.total(data[tf.newaxis])]):
            return decoding.decode(tf.identity(data), channels)

    return decode


def _check_levels(images: Any) -> None:
    """Refuses levels that are not of 0..255; a tensor that a graph computes has none yet."""
    kind = str(images.dtype)
    if "uint8" in kind:
        return
    if not any(word in kind for word in ("int", "float")):
        raise TypeError(f"images must hold numbers, got the dtype {kind}")
    try:
        values = ops.convert_to_numpy(images)
    except (NotImplementedError, TypeError):  # TensorFlow's and JAX's words for it
        return
    if not values.size:
        return
    low, high = float(values.min()), float(values.max())
    if "float" in kind and 0 < high <= 1:
        raise ValueError(
            f"images must have levels of 0 to 255, got floats of {low:g} to {high:g}; multiply"
            " what is between 0 and 1 by 255, or pass uint8"
        )
    if "int" in kind and (low < 0 or high > 255):
        raise ValueError(f"images must have levels of 0 to 255, got {low:g} to {high:g}")


def _short(value: Any) -> str:
    return f"{type(value).__name__}: {repr(value)[:60]}"
