"""Batches of a part of a split, for evaluation: every example once, known by its position."""

import tensorflow as tf

from keras_resnet.preprocessing.decoding import seen
from keras_resnet.preprocessing.views import Look
from train.datasets.batches import Batch
from train.datasets.decoding import Broken, decoded, noting
from train.datasets.examples import Element, Examples, Pair

AT_ONCE = 8  # whole images that are put in order at once
FAR = 2**20  # more than the pixels of a side


def rows(examples: Examples, first: tf.Variable, count: int) -> tf.data.Dataset:
    """Lists (position, element) of a part of a split; each iteration reads `first` anew.

    Args:
        examples: the split.
        first: int64 [], the position at which the part begins.
        count: number of examples of a part; the last one of the split may have fewer.
    """
    order = examples.order(None)
    positions = tf.data.Dataset.range(count).map(lambda i: first + i)
    positions = positions.take_while(lambda position: position < examples.size)
    return positions.map(lambda position: (position, order[position]))


@tf.autograph.experimental.do_not_convert
def crops(
    examples: Examples, look: Look, part: tf.data.Dataset, size: int, broken: Broken
) -> tf.data.Dataset:
    """Makes batches of what is seen of each image, of one shape for all.

    Args:
        examples: the split.
        look: what is seen of an image.
        part: as `rows` returns it.
        size: examples of a batch; the last one of a part may have fewer.
        broken: notes the examples that cannot be decoded; their weight is 0.

    Returns:
        Batches (positions int64 [n], images [n, ...] of 0..255, labels int64 [n], weights).
    """
    gather = examples.gather
    if gather:

        def batch(positions: tf.Tensor, elements: tf.Tensor) -> Batch:
            images, labels = gather(elements)
            return positions, seen(images, look), labels, tf.ones_like(labels, tf.float32)

        return part.batch(size).map(batch).prefetch(tf.data.AUTOTUNE)

    def decode(_: tf.Tensor, element: Element) -> Pair:
        return examples.decode(element, look)

    batches = decoded(part, size, decode, noting(examples, broken))
    return batches.prefetch(tf.data.AUTOTUNE)


@tf.autograph.experimental.do_not_convert
def wholes(
    examples: Examples, look: Look, part: tf.data.Dataset, pixels: int, broken: Broken
) -> tf.data.Dataset:
    """Makes batches of images of different sizes, each batch of equal ones, in no fixed order.

    Args:
        examples: the split.
        look: what is seen of an image; its result is float32 [height, width, channels].
        part: as `rows` returns it.
        pixels: of all images of a batch, at most; a larger image is a batch by itself.
        broken: notes the examples that cannot be decoded, which are left out.

    Returns:
        As `crops`; all weights are 1.
    """

    def decode(_: tf.Tensor, element: Element) -> Pair:
        image, label = examples.decode(element, look)
        return tf.io.serialize_tensor(image), label  # a scalar, which makes them all one shape

    def parsed(
        position: tf.Tensor, image: tf.Tensor, label: tf.Tensor, weight: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        image = tf.io.parse_tensor(image, tf.float32)
        return position, tf.ensure_shape(image, [None, None, examples.channels]), label, weight

    def key(_position: tf.Tensor, image: tf.Tensor, *_others: tf.Tensor) -> tf.Tensor:
        height, width, _ = tf.unstack(tf.shape(image, tf.int64))
        return height * FAR + width

    def number(key: tf.Tensor) -> tf.Tensor:
        return tf.maximum(pixels // ((key // FAR) * (key % FAR)), 1)

    def together(key: tf.Tensor, window: tf.data.Dataset) -> tf.data.Dataset:
        return window.batch(number(key))

    batches = decoded(part, AT_ONCE, decode, noting(examples, broken))
    good = batches.unbatch().filter(lambda _position, _image, _label, weight: weight > 0)
    return good.map(parsed).group_by_window(key, together, window_size_func=number).prefetch(2)
