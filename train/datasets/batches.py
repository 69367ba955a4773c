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
from train.datasets.decoding import Broken, decoded, watched
from train.datasets.examples import Examples

FOREVER = np.iinfo(np.int64).max

Change = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # (image, seed [2]) -> image
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

    def mine(self, position: tf.Tensor, batch_size: int) -> tf.Tensor:
        """Whether this worker decodes the example at a position of the stream."""
        return position % batch_size // (batch_size // self.workers) == self.worker


ALONE = Share()
Batches = Callable[[Share], tf.data.Dataset]


@dataclass(frozen=True)
class Stream:
    """Which examples a training sees at which step, and how they are changed.

    Attributes:
        batch_size: examples of a global batch.
        change: makes an image of the network of one as it was decoded; the seed is (seed of the
            run, position in the stream).
        mix: makes (images, targets, weights) of (images, labels, weights, seeds), the same seeds;
            None if targets are the labels.
        seed: of the run.
        repeats: how often an image comes in an epoch, each time changed differently.
    """

    batch_size: int
    change: Change
    mix: Mix | None = None
    seed: int = 0
    repeats: int = 1


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
    augmentation, so a run needs no state of the stream to resume. The position also says in which
    row of which batch the example is; a worker decodes only its own rows.

    Args:
        examples: the training split.
        stream: how batches are made of it.
        first_step: number of steps that are already taken.
        share: the rows of this worker.
        broken: notes the examples that cannot be decoded; their weight is 0.

    Returns:
        Batches of a replica's size: images float32 [n, height, width, channels]; targets int64 [n],
        or what `mix` makes of them; weights float32 [n].

    Raises:
        ValueError: if there are no examples.
    """
    if not examples.size:
        raise ValueError("there are no examples to train on")
    seed = np.int64(stream.seed)

    def example(
        position: tf.Tensor, image: tf.Tensor, label: tf.Tensor, weight: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        key = tf.stack([seed, position])
        return stream.change(image, key), label, weight, key

    rows = decoded(examples, _positions(examples, stream, first_step, share), broken)
    rows = rows.map(example, tf.data.AUTOTUNE, deterministic=True)
    batches = rows.batch(stream.batch_size // share.replicas, drop_remainder=True)
    if stream.mix:
        batches = batches.map(stream.mix, tf.data.AUTOTUNE, deterministic=True)
    else:
        batches = batches.map(lambda images, labels, weights, _: (images, labels, weights))
    return batches.prefetch(tf.data.AUTOTUNE)


def _positions(
    examples: Examples, stream: Stream, first_step: int, share: Share
) -> tf.data.Dataset:
    """Lists (position, element) of this worker's rows, from a step on.

    The times that an image is repeated are as far apart as a batch holds different images: then
    neighbours, which may be mixed, are different images.
    """
    times = stream.repeats
    first = first_step * stream.batch_size
    size = max(1, stream.batch_size // times) if times > 1 else 1  # elements before they repeat
    begin = first // (size * times) * size
    epochs = tf.data.Dataset.range(begin // examples.size, FOREVER)
    seed = np.int64(stream.seed)
    elements = epochs.flat_map(lambda epoch: examples.elements(tf.stack([seed, epoch])))
    elements = elements.skip(begin % examples.size)
    if times > 1:
        elements = elements.batch(size).flat_map(
            lambda group: tf.data.Dataset.from_tensor_slices(group).repeat(times)
        )
    elements = elements.skip(first % (size * times))
    return _own_rows(share, tf.data.Dataset.range(first, FOREVER), elements, stream.batch_size)


def _own_rows(
    share: Share, positions: tf.data.Dataset, elements: tf.data.Dataset, batch_size: int
) -> tf.data.Dataset:
    """Lists (position, element), of which the rows of one worker stay."""
    rows = tf.data.Dataset.zip(positions, elements)
    if share.workers > 1:
        rows = rows.filter(lambda position, _: share.mine(position, batch_size))
    return rows


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
        preprocess: resizes and normalizes images.
        batch_size: examples of a global batch.
        share: the rows of this worker.
        broken: notes the examples that cannot be decoded.
    """
    count = -(-examples.size // batch_size) * batch_size
    positions = tf.data.Dataset.range(count)
    elements = examples.elements(None).repeat()

    def example(
        position: tf.Tensor, image: tf.Tensor, label: tf.Tensor, weight: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        counts = tf.cast(position < examples.size, tf.float32)
        return preprocess(image), label, counts * weight

    rows = decoded(examples, _own_rows(share, positions, elements, batch_size), broken)
    rows = rows.map(example, tf.data.AUTOTUNE, deterministic=True)
    batches = rows.batch(batch_size // share.replicas, drop_remainder=True)
    return batches.prefetch(tf.data.AUTOTUNE)


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
