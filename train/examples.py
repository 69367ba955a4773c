"""One split of a data set, whatever it is kept in."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

Element = Any  # an index, or a serialized record with its place


@dataclass(frozen=True)
class Examples:
    """One split of a data set: `size` pairs of a uint8 image and a label.

    `elements(seed)` lists the raw elements, in order if `seed` is None, otherwise shuffled by
    an integer tensor [2]; `decode` makes an image [height, width, channels] and a label of one,
    or fails where images are `encoded`; `name` says which record it is. `found` are lines for
    people, about what is not as usual.
    """

    size: int
    labels: tuple[str, ...]
    channels: int
    elements: Callable[[tf.Tensor | None], tf.data.Dataset]
    decode: Callable[[Element], tuple[tf.Tensor, tf.Tensor]]
    name: Callable[[Element], tf.Tensor] = tf.strings.as_string
    encoded: bool = False
    found: tuple[str, ...] = ()


def arrays(images: Any, labels: Any, names: tuple[str, ...]) -> Examples:
    images, labels = tf.constant(images), tf.constant(labels, tf.int64)

    def decode(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return images[index], labels[index]

    return Examples(len(labels), names, images.shape[-1], indices(len(labels)), decode)


def indices(size: int) -> Callable[[tf.Tensor | None], tf.data.Dataset]:
    def elements(seed: tf.Tensor | None) -> tf.data.Dataset:
        order = tf.range(size)
        if seed is not None:
            order = tf.random.experimental.stateless_shuffle(order, seed)
        return tf.data.Dataset.from_tensor_slices(order)

    return elements


def part(split: str, size: int, validation: int) -> slice:
    """The examples of a training split that are trained on, or held out at its end."""
    if validation >= size:
        raise ValueError(f"validation must be below the {size} examples, got {validation}")
    return slice(size - validation, None) if split == "validation" else slice(size - validation)
