"""One split of a data set, however it is stored."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from keras_resnet.preprocessing.decoding import seen
from keras_resnet.preprocessing.views import Look, whole

Element = Any  # an index, int32 []
Order = Callable[[tf.Tensor | None], tf.Tensor]
Pair = tuple[tf.Tensor, tf.Tensor]  # image and label
Gather = Callable[[Element], Pair]


class Decode(Protocol):
    """Makes an image and a label of an element; see `Examples`."""

    def __call__(self, element: Element, /, look: Look = whole) -> Pair: ...


@dataclass(frozen=True)
class Examples:
    """One split of a data set: pairs of an image and a label.

    Attributes:
        size: number of examples.
        labels: names of the classes, in the order of the logits.
        channels: of the images.
        order: returns the index of every example, int32 [size], in order for None, or shuffled by
            a seed, an integer tensor [2].
        decode: reads an image and a label, int64 [], of an index. The image is what a view makes of
            it; by default all of it, uint8 [height, width, channels]. If images are encoded, that
            may fail.
        name: says which file or record an index is.
        gather: makes images, uint8 [n, height, width, channels], and labels, int64 [n], of n
            indices at once; None if images are encoded.
        listing: names of the files in order, relative to their folder, if they are known.
        held_out_by_name: whether these names decided which examples are for testing.
        counts: number of examples of each class, if that is known.
        found: lines for people, about what else is in the data set.
    """

    size: int
    labels: tuple[str, ...]
    channels: int
    order: Order
    decode: Decode
    name: Callable[[Element], tf.Tensor] = tf.strings.as_string
    gather: Gather | None = None
    listing: Sequence[bytes] = ()
    held_out_by_name: bool = False
    counts: tuple[int, ...] = ()
    found: tuple[str, ...] = ()

    def elements(self, seed: tf.Tensor | None) -> tf.data.Dataset:
        """Lists the indices, in order or shuffled, as `order` does."""
        return tf.data.Dataset.from_tensor_slices(self.order(seed))


def arrays(images: Any, labels: Any, names: tuple[str, ...]) -> Examples:
    """Returns examples that are in memory.

    Args:
        images: uint8 [n, height, width, channels].
        labels: integers [n].
        names: of the classes.
    """
    counts = np.bincount(np.asarray(labels), minlength=len(names))
    images = tf.constant(images)
    labels = tf.constant(labels, tf.int64)

    def decode(index: tf.Tensor, look: Look = whole) -> Pair:
        return seen(images[index], look), labels[index]

    def gather(index: tf.Tensor) -> Pair:
        return tf.gather(images, index), tf.gather(labels, index)

    size = len(labels)
    return Examples(
        size,
        names,
        images.shape[-1],
        indices(size),
        decode,
        gather=gather,
        counts=tuple(counts.tolist()),
    )


def indices(size: int) -> Order:
    """Returns `order` of so many examples; a seed gives an exact shuffle of all of them."""

    def order(seed: tf.Tensor | None) -> tf.Tensor:
        every = tf.range(size)
        if seed is None:
            return every
        return tf.random.experimental.stateless_shuffle(every, seed)

    return order


def sample(examples: Examples, count: int) -> Examples:
    """Returns at most `count` of the examples, drawn at random, the same ones each time."""
    seed = tf.constant([0, 0], tf.int64)
    return replace(
        examples,
        size=min(count, examples.size),
        order=lambda _seed: examples.order(seed)[:count],
        listing=(),
        counts=(),
    )


def part(split: str, size: int, validation: int) -> slice:
    """Returns the part of a training split that is trained on, or held out at its end.

    Raises:
        ValueError: if no examples are left to train on.
    """
    if validation >= size:
        raise ValueError(f"validation must be below the {size} examples, got {validation}")
    return slice(size - validation, None) if split == "validation" else slice(size - validation)
