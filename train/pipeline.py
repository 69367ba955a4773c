"""From the examples of a split to batches for the network; random only by (seed, step)."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from keras_resnet import family, preprocessing, weights
from keras_resnet.preprocessing import Preprocessing
from train import augment, datasets
from train.datasets import Examples
from train.recipe import Recipe


@dataclass(frozen=True)
class Data:
    """The data of a recipe: what it trains on, and what has to be known of it afterwards."""

    recipe: Recipe
    splits: Mapping[str, Examples]  # train, test and, where examples are held out, validation
    preprocessing: Preprocessing

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return (self.recipe.image_size, self.recipe.image_size, self.splits["train"].channels)

    @property
    def labels(self) -> tuple[str, ...]:
        return self.splits["train"].labels

    @property
    def eval_split(self) -> str:
        """Where the network is measured on the way: never the test split if others are held out."""
        return "validation" if "validation" in self.splits else "test"

    def train_batches(self, first_step: int) -> tf.data.Dataset:
        return train_batches(self.splits["train"], self.recipe, self.preprocessing, first_step)

    def eval_batches(self, split: str) -> tf.data.Dataset:
        return eval_batches(self.splits[split], self.preprocessing, self.recipe.batch_size)


def open_data(recipe: Recipe, data_dir: str | None) -> Data:
    """Opens the splits of a recipe, so that one that is missing is missed before training.

    Raises:
        ValueError: if recipe and data do not fit.
    """
    names = ("train", "test", "validation") if recipe.validation else ("train", "test")
    splits = {
        name: datasets.load(recipe.dataset, name, data_dir, recipe.validation) for name in names
    }
    return Data(recipe, splits, preprocessing_of(recipe, splits["train"]))


def train_batches(
    examples: Examples, recipe: Recipe, preprocess: Preprocessing, first_step: int
) -> tf.data.Dataset:
    """Endless batches (images, labels) from `first_step` on, the same whenever it starts there.

    Each epoch is a shuffle of its own. The position of an example in the stream of all epochs
    seeds its augmentation, so that no state has to be kept for a run to resume.
    """
    if not examples.size:
        raise ValueError("there are no examples to train on")
    first, seed = first_step * recipe.batch_size, np.int64(recipe.seed)
    change = augment.build(recipe, preprocess)

    def example(position: tf.Tensor, element: object) -> tuple[tf.Tensor, tf.Tensor]:
        image, label = examples.decode(element)
        image = tf.cast(change(image, tf.stack([seed, position])), tf.float32)
        return preprocess.normalize(image), label

    epochs = tf.data.Dataset.range(first // examples.size, np.iinfo(np.int64).max)
    elements = epochs.flat_map(lambda epoch: examples.elements(tf.stack([seed, epoch])))
    positions = tf.data.Dataset.range(first, np.iinfo(np.int64).max)
    stream = tf.data.Dataset.zip(positions, elements.skip(first % examples.size))
    stream = stream.map(example, tf.data.AUTOTUNE, deterministic=True)
    return stream.batch(recipe.batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def eval_batches(examples: Examples, preprocess: Preprocessing, batch_size: int) -> tf.data.Dataset:
    """Every example once, in order, as (images, labels, weights).

    The last batch is filled with copies of its first example that weigh 0, so that all batches
    have one shape and any number of replicas can share them.
    """

    def example(element: object) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        image, label = examples.decode(element)
        return preprocess(image), label, tf.constant(1.0)

    def fill(images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, ...]:
        missing = batch_size - tf.shape(labels)[0]
        rows = tf.concat([tf.range(batch_size - missing), tf.zeros([missing], tf.int32)], 0)
        weights = tf.pad(weights, [(0, missing)])
        filled = tf.gather(images, rows), tf.gather(labels, rows), weights
        for tensor in filled:
            tensor.set_shape([batch_size, *tensor.shape[1:]])
        return filled

    stream = examples.elements(None).map(example, tf.data.AUTOTUNE)
    return stream.batch(batch_size).map(fill).prefetch(tf.data.AUTOTUNE)


def distribute(strategy: tf.distribute.Strategy, batches: tf.data.Dataset) -> Iterable[Any]:
    """Splits each global batch evenly over the replicas."""
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return strategy.experimental_distribute_dataset(batches.with_options(options))


def preprocessing_of(recipe: Recipe, examples: Examples) -> Preprocessing:
    """Returns the recipe's preprocessing, with the mean image of these examples if it has one."""
    size = recipe.image_size
    crop = 0.875 if recipe.augmentation in ("random_resized_crop", "scale_jitter") else 1.0
    if recipe.preprocessing == "weights":
        return _of_weights(recipe, examples)
    if recipe.preprocessing != "per_pixel":
        chosen = preprocessing.mode(recipe.preprocessing, image_size=size, crop=crop)
        if len(chosen.mean) not in (1, examples.channels):
            raise ValueError(
                f"preprocessing={recipe.preprocessing!r} needs {len(chosen.mean)} channels,"
                f" the images have {examples.channels}"
            )
        return chosen
    return preprocessing.per_pixel(mean_image(examples, Preprocessing(image_size=size, crop=crop)))


def _of_weights(recipe: Recipe, examples: Examples) -> Preprocessing:
    """Returns the preprocessing that the first weights were trained with, for these images."""
    spec = family.spec(recipe.network, **recipe.fields)
    file = weights.local(recipe.init_weights, recipe.network)
    with weights.opened(file, fields=asdict(spec)) as held:
        if held.manifest is None:
            raise ValueError(f"{recipe.init_weights} does not say how images are scaled: give"
                             " --preprocessing")  # fmt: skip
        known = weights.adapted(held.manifest, spec, examples.channels).preprocessing
    known = replace(known, mean=None) if np.ndim(known.mean) == 3 else known
    known = replace(known, image_size=recipe.image_size)
    return replace(known, mean=mean_image(examples, known)) if known.mean is None else known


def mean_image(examples: Examples, preprocess: Preprocessing) -> np.ndarray[Any, Any]:
    """Returns the mean over all resized examples, [size, size, channels] of 0..255."""
    size = preprocess.image_size
    images = examples.elements(None).map(
        lambda element: preprocess.resize(examples.decode(element)[0]), tf.data.AUTOTUNE
    )
    total = images.batch(256).reduce(
        np.zeros([size, size, examples.channels], np.float64),
        lambda total, batch: total + tf.reduce_sum(tf.cast(batch, tf.float64), 0),
    )
    return total.numpy() / examples.size
