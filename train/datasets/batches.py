"""From the examples of a split to batches for the network; random only by (seed, step)."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from keras_resnet.preprocessing import Preprocessing
from train import datasets
from train.augment import images as augment, pairs as mixing
from train.datasets import mean_image as scaling
from train.datasets.decoding import Broken, decoded, message, watched
from train.datasets.examples import Examples
from train.recipes.recipe import Recipe

FOREVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Share:
    """The rows of each global batch that a worker reads, and how many replicas share the batch."""

    worker: int = 0
    workers: int = 1
    replicas: int = 1

    def mine(self, position: tf.Tensor, batch_size: int) -> tf.Tensor:
        """Whether an example of the stream, by its position, is this worker's to decode."""
        return position % batch_size // (batch_size // self.workers) == self.worker


ALONE = Share()
Batches = Callable[[Share], tf.data.Dataset]


@dataclass(frozen=True)
class Data:
    """The data of a recipe: what it trains on, and what has to be known of it afterwards."""

    recipe: Recipe
    splits: Mapping[str, Examples]  # train, test and, where examples are held out, validation
    preprocessing: Preprocessing
    broken: Broken = field(default_factory=Broken)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Of a test image, which is what the trained network is for."""
        return (*self.preprocessing.size, self.splits["train"].channels)

    @property
    def train_shape(self) -> tuple[int, int, int]:
        return (self.recipe.image_size, self.recipe.image_size, self.splits["train"].channels)

    @property
    def input_shape(self) -> tuple[int | None, int | None, int]:
        same = self.train_shape == self.image_shape
        return self.image_shape if same else (None, None, self.image_shape[-1])

    @property
    def labels(self) -> tuple[str, ...]:
        return self.splits["train"].labels

    @property
    def eval_split(self) -> str:
        """Where the network is measured on the way: never the test split if others are held out."""
        return "validation" if "validation" in self.splits else "test"

    def train_batches(self, first_step: int) -> Batches:
        return partial(
            train_batches,
            self.splits["train"],
            self.recipe,
            self.preprocessing,
            first_step,
            broken=self.broken,
        )

    def eval_batches(self, split: str) -> Batches:
        examples, batch_size = self.splits[split], self.recipe.batch_size
        return partial(eval_batches, examples, self.preprocessing, batch_size, broken=self.broken)


def open_data(
    recipe: Recipe, data_dir: str | None, preprocessing: Preprocessing | None = None
) -> Data:
    """Opens the splits of a recipe; a missing one is an error before training starts.

    Args:
        recipe: which data set, and how many examples are held out.
        data_dir: where the set is, as `datasets.load` takes it.
        preprocessing: that of a run that goes on; by default found as the recipe says.

    Raises:
        ValueError: if recipe and data do not fit, or too many images are broken.
    """
    broken = Broken(recipe.max_broken)
    try:
        splits = datasets.splits(recipe.dataset, data_dir, recipe.validation)
        chosen = preprocessing or scaling.preprocessing_of(recipe, splits["train"], broken)
    except tf.errors.OpError as error:
        raise ValueError(message(error)) from error
    return Data(recipe, splits, chosen, broken)


def train_batches(
    examples: Examples,
    recipe: Recipe,
    preprocess: Preprocessing,
    first_step: int,
    share: Share = ALONE,
    *,
    broken: Broken | None = None,
) -> tf.data.Dataset:
    """Endless batches (images, targets) from `first_step` on, the same whenever it starts there.

    Each epoch is a shuffle of its own. The position of an example in the stream of all epochs
    seeds its augmentation, so that no state has to be kept for a run to resume, and says in which
    row of which batch it is, whoever reads it. A worker decodes only its own rows.

    Targets are labels [batch], or [batch, classes] where images are mixed; see `losses`.
    """
    if not examples.size:
        raise ValueError("there are no examples to train on")
    seed, change = np.int64(recipe.seed), augment.build(recipe, preprocess)

    def example(position: tf.Tensor, image: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, ...]:
        key = tf.stack([seed, position])
        image = preprocess.normalize(tf.cast(change(image, key), tf.float32))
        image = augment.erase(image, key, recipe.erasing) if recipe.erasing else image
        return image, label, key

    stream = decoded(examples, _stream(examples, recipe, first_step, share), broken)
    stream = stream.map(example, tf.data.AUTOTUNE, deterministic=True)
    stream = stream.batch(recipe.batch_size // share.replicas, drop_remainder=True)
    if recipe.mixup or recipe.cutmix:
        mix = mixing.build(recipe, len(examples.labels))
        stream = stream.map(mix, tf.data.AUTOTUNE, deterministic=True)
    else:
        stream = stream.map(lambda images, labels, _: (images, labels))
    return stream.prefetch(tf.data.AUTOTUNE)


def _stream(examples: Examples, recipe: Recipe, first_step: int, share: Share) -> tf.data.Dataset:
    """Lists (position, element) of this worker's rows, from a step on.

    An image that comes several times does so after as many others as make up a batch with it, so
    that neighbours, which may be mixed, are different images.
    """
    first, times = first_step * recipe.batch_size, recipe.repeats
    size = max(1, recipe.batch_size // times) if times > 1 else 1  # elements before they repeat
    begin = first // (size * times) * size
    epochs = tf.data.Dataset.range(begin // examples.size, FOREVER)
    seed = np.int64(recipe.seed)
    elements = epochs.flat_map(lambda epoch: examples.elements(tf.stack([seed, epoch])))
    elements = elements.skip(begin % examples.size)
    if times > 1:
        elements = elements.batch(size).flat_map(
            lambda group: tf.data.Dataset.from_tensor_slices(group).repeat(times)
        )
    elements = elements.skip(first % (size * times))
    return _of(share, tf.data.Dataset.range(first, FOREVER), elements, recipe.batch_size)


def _of(
    share: Share, positions: tf.data.Dataset, elements: tf.data.Dataset, batch_size: int
) -> tf.data.Dataset:
    stream = tf.data.Dataset.zip(positions, elements)
    if share.workers > 1:
        stream = stream.filter(lambda position, _: share.mine(position, batch_size))
    return stream


def eval_batches(
    examples: Examples,
    preprocess: Preprocessing,
    batch_size: int,
    share: Share = ALONE,
    *,
    broken: Broken | None = None,
) -> tf.data.Dataset:
    """Every example once, in order, as (images, labels, weights).

    The last batch is filled with examples that weigh 0, as do those that cannot be decoded, so
    that all batches have one shape and any number of replicas can share them.
    """
    count = -(-examples.size // batch_size) * batch_size
    positions, elements = tf.data.Dataset.range(count), examples.elements(None).repeat()

    def example(position: tf.Tensor, image: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, ...]:
        counts = (position < examples.size) & (label >= 0)
        return preprocess(image), label, tf.cast(counts, tf.float32)

    stream = decoded(examples, _of(share, positions, elements, batch_size), broken)
    stream = stream.map(example, tf.data.AUTOTUNE, deterministic=True)
    rows = batch_size // share.replicas
    return stream.batch(rows, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def distribute(
    strategy: tf.distribute.Strategy, batches: Batches, broken: Broken | None = None
) -> Iterator[Any]:
    """Gives each worker its rows of the global batches, split evenly over its replicas.

    Raises:
        TooManyBroken: before the batch that has one image too many that cannot be decoded.
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
