"""One split of a data set, whatever it is kept in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

Element = Any  # an index, or a serialized record with its place


@dataclass(frozen=True)
class Examples:
    """One split of a data set: `size` pairs of a uint8 image and a label.

    `elements(seed)` lists the raw elements, in order if `seed` is None, otherwise shuffled by
    an integer tensor [2]; `decode` makes an image [height, width, channels] and a label of one,
    or fails where images are `encoded`; `name` says which record it is.

    `counts` are the examples of each class, `listing` the names of the files in order, where they
    are known, relative to their folder; `held_out_by_name` says that these names decided which of
    them are for testing. `found` are lines for people, about what else there was.
    """

    size: int
    labels: tuple[str, ...]
    channels: int
    elements: Callable[[tf.Tensor | None], tf.data.Dataset]
    decode: Callable[[Element], tuple[tf.Tensor, tf.Tensor]]
    name: Callable[[Element], tf.Tensor] = tf.strings.as_string
    encoded: bool = False
    listing: Sequence[bytes] = ()
    held_out_by_name: bool = False
    counts: tuple[int, ...] = ()
    found: tuple[str, ...] = ()


def arrays(images: Any, labels: Any, names: tuple[str, ...]) -> Examples:
    counts = np.bincount(np.asarray(labels), minlength=len(names))
    images, labels = tf.constant(images), tf.constant(labels, tf.int64)

    def decode(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return images[index], labels[index]

    size, channels = len(labels), images.shape[-1]
    return Examples(size, names, channels, indices(size), decode, counts=tuple(counts.tolist()))


def indices(size: int) -> Callable[[tf.Tensor | None], tf.data.Dataset]:
    def elements(seed: tf.Tensor | None) -> tf.data.Dataset:
        order = tf.range(size)
        if seed is not None:
            order = tf.random.experimental.stateless_shuffle(order, seed)
        return tf.data.Dataset.from_tensor_slices(order)

    return elements


def sample(examples: Examples, count: int) -> Examples:
    """Returns at most `count` of the examples, drawn at random, the same ones each time."""
    seed = tf.constant([0, 0], tf.int64)
    return replace(
        examples,
        size=min(count, examples.size),
        elements=lambda _seed: examples.elements(seed).take(count),
        listing=(),
        counts=(),
    )


def part(split: str, size: int, validation: int) -> slice:
    """The examples of a training split that are trained on, or held out at its end."""
    if validation >= size:
        raise ValueError(f"validation must be below the {size} examples, got {validation}")
    return slice(size - validation, None) if split == "validation" else slice(size - validation)
