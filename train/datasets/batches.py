"""From the examples of a split to batches for the network; random only by (seed, step).

Functions of tensors have no Python control flow over them, so AutoGraph has nothing to rewrite; it
only costs time, and is off here and wherever a graph is traced.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from keras_resnet.preprocessing import Preprocessing
from keras_resnet.preprocessing.decoding import seen
from keras_resnet.preprocessing.views import Look
from train.datasets.decoding import Broken, DecodeRow, decoded, noting, watched
from train.datasets.examples import Element, Examples, Pair

FOREVER = np.iinfo(np.int64).max

Change = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # (image, seed [2]) -> image
Batch = tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]  # positions, images, labels, weights
Mix = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]


@dataclass(frozen=True)
class Share:
    """The rows of each global batch that a worker reads.

    Attributes:
        worker: number of this worker, from 0.
        workers: number of workers.
        replicas: number of replicas of all workers, which share a batch evenly.
    """

    worker: int = 0
    workers: int = 1
    replicas: int = 1

    def rows(self, batch_size: int) -> range:
        """Returns the rows of a global batch that this worker reads."""
        own = batch_size // self.workers
        return range(self.worker * own, (self.worker + 1) * own)


ALONE = Share()
Batches = Callable[[Share], tf.data.Dataset]


@dataclass(frozen=True)
class Together:
    """The change of many decoded images at once, which costs less than one by one.

    Attributes:
        draw: draws numbers for an image by its seed.
        change: makes images [n, ...] of the network of decoded ones and of what was drawn for each.
    """

    draw: Callable[[tf.Tensor], tf.Tensor]
    change: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


@dataclass(frozen=True)
class Stream:
    """Which examples a training sees at which step, and how they are changed.

    A seed of an image is (seed of the run, position in the stream).

    Attributes:
        batch_size: examples of a global batch.
        look: makes of a seed what is seen of an image, at the size of the network.
        change: changes what is seen, by the same seed; None if nothing does.
        together: does the same as `look` to images that are decoded already, where it can.
        mix: makes (images, targets, weights) of (images, labels, weights, seeds), the same seeds;
            None if targets are the labels.
        seed: of the run.
        repeats: how often an image comes in an epoch, each time changed differently.
    """

    batch_size: int
    look: Callable[[tf.Tensor], Look]
    change: Change | None = None
    together: Together | None = None
    mix: Mix | None = None
    seed: int = 0
    repeats: int = 1

    def key(self, position: tf.Tensor) -> tf.Tensor:
        """Returns the seeds of the images at these positions, integers [..., 2]."""
        return tf.stack([tf.fill(tf.shape(position), np.int64(self.seed)), position], -1)


@tf.autograph.experimental.do_not_convert
def train_batches(
    examples: Examples,
    stream: Stream,
    first_step: int,
    share: Share = ALONE,
    *,
    broken: Broken | None = None,
) -> tf.data.Dataset:
    """Endless batches (images, targets, weights) from a step on.

    The batch of a step is the same wherever the stream starts, and however many workers share it.
    Each epoch has its own order. The position of an example in the stream of all epochs seeds its
    augmentation, so a run needs no state of the stream to resume. A worker knows the indices of the
    whole batch, and reads those of its own rows only.

    Args:
        examples: the training split.
        stream: how batches are made of it.
        first_step: number of steps that are already taken.
        share: the rows of this worker.
        broken: notes the examples that cannot be decoded; their weight is 0.

    Returns:
        Batches of a replica's size: images [n, height, width, channels] of 0..255, uint8 if nothing
        needs more; targets int64 [n], or what `mix` makes of them; weights float32 [n].

    Raises:
        ValueError: if there are no examples.
    """
    if not examples.size:
        raise ValueError("there are no examples to train on")
    size = stream.batch_size // share.replicas
    rows = _positions(examples, stream, first_step, share)
    if examples.gather and stream.together:
        batches = _gathered(examples, stream, rows, size)
    else:
        batches = _decoded(examples, stream, rows, size, broken)

    def finished(
        positions: tf.Tensor, images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        if not stream.mix:
            return images, labels, weights
        return stream.mix(images, labels, weights, stream.key(positions))

    batches = batches.map(finished, tf.data.AUTOTUNE, deterministic=True)
    return batches.prefetch(tf.data.AUTOTUNE)


def _gathered(
    examples: Examples, stream: Stream, rows: tf.data.Dataset, size: int
) -> tf.data.Dataset:
    """Makes batches of decoded images, all of one at once."""
    gather = examples.gather
    together = stream.together
    assert gather
    assert together

    def batch(positions: tf.Tensor, elements: tf.Tensor, draws: tf.Tensor) -> Batch:
        images, labels = gather(elements)
        return positions, together.change(images, draws), labels, tf.ones([size])

    def draw(position: tf.Tensor, element: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return position, element, together.draw(stream.key(position))

    drawn = rows.map(draw)
    batches = drawn.batch(size, drop_remainder=True)
    return batches.map(batch, tf.data.AUTOTUNE, deterministic=True)


def _decoded(
    examples: Examples, stream: Stream, rows: tf.data.Dataset, size: int, broken: Broken | None
) -> tf.data.Dataset:
    """Makes batches of images that are decoded and changed one by one."""

    def decode(position: tf.Tensor, element: Element) -> Pair:
        key = stream.key(position)
        image, label = examples.decode(element, stream.look(key))
        return (stream.change(image, key) if stream.change else image), label

    return _batches_of(size, examples, rows, decode, broken)


def _batches_of(
    size: int,
    examples: Examples,
    rows: tf.data.Dataset,
    decode: DecodeRow,
    broken: Broken | None,
) -> tf.data.Dataset:
    """Makes batches of `size` decoded examples, where the rows fill the last one, too."""

    def shaped(*parts: tf.Tensor) -> Batch:
        return tuple(tf.ensure_shape(part, [size, *part.shape[1:]]) for part in parts)

    return decoded(rows, size, decode, noting(examples, broken)).map(shaped)


def _positions(
    examples: Examples, stream: Stream, first_step: int, share: Share
) -> tf.data.Dataset:
    """Lists (position, index) of this worker's rows, from a step on.

    The times that an image is repeated are as far apart as a batch holds different images: then
    neighbours, which may be mixed, are different images.
    """
    batch_size = stream.batch_size
    size = max(1, batch_size // stream.repeats)  # different images before they are repeated
    groups, rest = divmod(first_step * batch_size, size * stream.repeats)
    batches = _epochs(examples, stream.seed, groups * size).rebatch(size, drop_remainder=True)
    if stream.repeats > 1:
        batches = batches.flat_map(
            lambda group: tf.data.Dataset.from_tensors(group).repeat(stream.repeats)
        )
        batches = batches.unbatch().skip(rest).batch(batch_size, drop_remainder=True)
    return _own_rows(share, tf.data.Dataset.range(first_step, FOREVER), batches, batch_size)


def _epochs(examples: Examples, seed: int, begin: int) -> tf.data.Dataset:
    """Lists the indices of all epochs, a vector for each, without the first `begin` of them all."""
    first, done = divmod(begin, examples.size)

    def order(epoch: tf.Tensor) -> tf.Tensor:
        whole = examples.order(tf.stack([np.int64(seed), epoch]))
        return whole[tf.where(epoch == first, done, 0) :]

    return tf.data.Dataset.range(first, FOREVER).map(order)


def _own_rows(
    share: Share, steps: tf.data.Dataset, batches: tf.data.Dataset, batch_size: int
) -> tf.data.Dataset:
    """Lists (position, index) of the rows of one worker, from the indices of global batches."""
    rows = share.rows(batch_size)

    def own(step: tf.Tensor, batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        positions = step * batch_size + tf.range(rows.start, rows.stop, dtype=tf.int64)
        return positions, batch[rows.start : rows.stop]

    return tf.data.Dataset.zip(steps, batches).map(own).unbatch()


@tf.autograph.experimental.do_not_convert
def eval_batches(
    examples: Examples,
    preprocess: Preprocessing,
    batch_size: int,
    share: Share = ALONE,
    *,
    broken: Broken | None = None,
) -> tf.data.Dataset:
    """Every example once, in order, as batches (images, labels, weights).

    The last batch is filled up with examples of weight 0, so that all batches have one shape and
    any number of replicas can share them. Examples that cannot be decoded have a weight of 0, too.

    Args:
        examples: any split.
        preprocess: resizes images, which are not normalized.
        batch_size: examples of a global batch.
        share: the rows of this worker.
        broken: notes the examples that cannot be decoded.
    """
    steps = tf.data.Dataset.range(-(-examples.size // batch_size))
    elements = examples.elements(None).repeat().batch(batch_size)
    rows = _own_rows(share, steps, elements, batch_size)
    size = batch_size // share.replicas
    gather = examples.gather
    if gather:

        def batch(positions: tf.Tensor, elements: tf.Tensor) -> Batch:
            images, labels = gather(elements)
            return positions, seen(images, preprocess.view), labels, tf.ones([size])

        batches = rows.batch(size, drop_remainder=True).map(batch)
    else:

        def decode(_: tf.Tensor, element: Element) -> Pair:
            return examples.decode(element, preprocess.view)

        batches = _batches_of(size, examples, rows, decode, broken)

    def counted(
        positions: tf.Tensor, images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        return images, labels, weights * tf.cast(positions < examples.size, tf.float32)

    return batches.map(counted).prefetch(tf.data.AUTOTUNE)


def distribute(
    strategy: tf.distribute.Strategy, batches: Batches, broken: Broken | None = None
) -> Iterator[Any]:
    """Gives each worker its rows of the global batches, split evenly over its replicas.

    Raises:
        TooManyBroken: before the batch with one more broken image than `broken` allows.
    """

    def own(context: tf.distribute.InputContext) -> tf.data.Dataset:
        return batches(
            Share(
                context.input_pipeline_id,
                context.num_input_pipelines,
                context.num_replicas_in_sync,
            )
        )

    return watched(strategy.distribute_datasets_from_function(own), broken)
