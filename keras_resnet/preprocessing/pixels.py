"""Reads images of all kinds: arrays, tensors, PIL images and files, grey or in colour."""

import os
import struct
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

from keras_resnet.preprocessing.image_kinds import HEAD, READ, kind_of

__all__ = ["converted", "decoded", "pixels", "with_channels"]

COLOURS = {1: "L", 3: "RGB", 4: "RGBA"}  # modes of PIL by channels
UNLIMITED = ("BMP", "GIF")  # kinds whose size is not looked at before they are decoded
DEEP = ("I", "F", "I;")  # PIL modes of more than 8 bits, which `convert` clips at 255
LUMINANCE = (19_595, 38_470, 7_471)  # PIL's weights of red, green and blue, in units of 2^-16


def pixels(image: Any, channels: int | None = None) -> Any:
    """Returns the pixels of an image, or of a batch in one array.

    Args:
        image: an array or tensor [..., height, width, channels], or [height, width] if grey; a PIL
            image; or the path of a file.
        channels: of the network. Grey is converted to RGB, and RGB to grey, as in PIL. By default
            an array keeps its channels, and PIL images and files become RGB.

    Returns:
        [..., height, width, channels] of 0..255: arrays and tensors in their own dtype, PIL images
        and files as uint8.

    Raises:
        TypeError: for anything else.
        ValueError: for channels that cannot be converted, for a broken file, and for values outside
            of 0..255; values are not checked while a graph is traced.
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
    """Converts grey images to RGB, or RGB to grey, as PIL does, if the network needs it."""
    if len(images.shape) == 2:
        images = images[..., np.newaxis]
    found = images.shape[-1]
    if found is None or converted(found, channels) == found:
        return images
    return ops.repeat(images, 3, axis=-1) if found == 1 else _grey(images)


def converted(found: int, channels: int | None) -> int:
    """Returns the channels of an image of `found` channels after conversion for a network.

    Raises:
        ValueError: unless they are equal, or grey and RGB.
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
    if path.is_dir():
        raise ValueError(f"{path} is a folder, not an image: give the files in it")
    if not path.is_file():
        raise ValueError(f"no such file: {path}")
    return decoded(path.read_bytes(), channels, str(path))


def decoded(data: bytes, channels: int, name: str) -> Any:
    """Decodes the content of a file as exports do; images that are too large are refused before.

    Args:
        data: a JPEG, PNG, WebP, BMP or GIF, of which the first frame is decoded.
        channels: of the result: 1, 3 or 4.
        name: of the file, for errors.

    Returns:
        uint8 [height, width, channels].

    Raises:
        ValueError: for data that cannot be decoded, other channels, and without TensorFlow.
    """
    if channels not in COLOURS:
        raise ValueError(f"{name}: images in files have 1, 3 or 4 channels, not {channels}")
    try:
        import tensorflow as tf
    except ImportError as error:
        raise ValueError(
            f"decoding {name} needs TensorFlow; open it with PIL and pass the image"
        ) from error
    kind = kind_of(data[:HEAD])
    if kind not in READ:
        raise ValueError(f"{name} cannot be decoded: {_other(kind, data)}")
    if kind == "GIF":
        _check_gif(data, name)
    try:
        return _decoder(channels, limited=kind not in UNLIMITED)(tf.constant(data))
    except tf.errors.InvalidArgumentError as error:
        raise ValueError(f"{name} cannot be decoded: {_reason(error)}") from error


def _other(kind: str, data: bytes) -> str:
    """Returns why data of no kind that is decoded is refused."""
    if not data:
        return "it is empty"
    *others, last = READ
    known = f"{', '.join(others)} or {last}"
    return f"it is a {kind} file, not a {known}: convert it" if kind else f"it is not a {known}"


def _check_gif(data: bytes, name: str) -> None:
    """Refuses a small file that would decode to gigabytes; a BMP is as large as its pixels."""
    from keras_resnet.preprocessing.decoding.bounds import MAX_PIXELS

    width, height = struct.unpack("<HH", data[6:10].ljust(4, b"\0"))
    if width * height > MAX_PIXELS:
        raise ValueError(
            f"{name} cannot be decoded: it has {width}x{height} pixels; at most {MAX_PIXELS} are"
            " allowed"
        )


def _reason(error: Any) -> str:
    from keras_resnet.preprocessing import decoding

    return decoding.reason(error.message)


@lru_cache
def _decoder(channels: int, *, limited: bool) -> Any:
    import tensorflow as tf

    from keras_resnet.preprocessing import decoding

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    def decode(data: Any) -> Any:
        checks = [decoding.total(data[tf.newaxis])] if limited else []
        with tf.control_dependencies(checks):
            return decoding.decode(tf.identity(data), channels)

    return decode


def _check_levels(images: Any) -> None:
    """Refuses values outside of 0..255; a symbolic tensor of a graph is not checked."""
    kind = str(images.dtype)
    if "uint8" in kind:
        return
    if not any(word in kind for word in ("int", "float")):
        raise TypeError(f"images must hold numbers, got the dtype {kind}")
    try:
        values = ops.convert_to_numpy(images)
    except (NotImplementedError, TypeError):  # raised by TensorFlow and JAX for symbolic tensors
        return
    if not values.size:
        return
    low, high = float(values.min()), float(values.max())
    if "float" in kind and 0 < high <= 1:
        raise ValueError(
            f"images must have values of 0 to 255, got floats of {low:g} to {high:g}; multiply"
            " values between 0 and 1 by 255, or pass uint8"
        )
    if "int" in kind and (low < 0 or high > 255):
        raise ValueError(f"images must have values of 0 to 255, got {low:g} to {high:g}")


def _short(value: Any) -> str:
    return f"{type(value).__name__}: {repr(value)[:60]}"
