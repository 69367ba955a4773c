"""The data of a recipe: its splits, how pixels are scaled, and its batches."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import tensorflow as tf

from keras_resnet import preprocessing
from keras_resnet.preprocessing import Preprocessing
from keras_resnet.preprocessing.decoding.errors import message
from train import datasets
from train.datasets.batches import Batches, eval_batches
from train.datasets.decoding import Broken
from train.datasets.examples import Examples
from train.datasets.mean_image import mean_image
from train.datasets.record_files import ALONE, Crew
from train.recipes import plan, validity
from train.recipes.first_weights import FirstWeights
from train.recipes.recipe import Recipe


@dataclass(frozen=True)
class Data:
    """What a recipe trains on, and what has to be known of it afterwards.

    Attributes:
        recipe: what is trained.
        splits: train, test and, where examples are held out, validation.
        preprocessing: of test images; training images may have another size.
        broken: notes images that cannot be decoded.
        first: the weights that the training starts from; None for random ones.
    """

    recipe: Recipe
    splits: Mapping[str, Examples]
    preprocessing: Preprocessing
    broken: Broken = field(default_factory=Broken)
    first: FirstWeights | None = None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of a test image, which the trained network is for."""
        return (*self.preprocessing.size, self.splits["train"].channels)

    @property
    def train_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of a training image."""
        return (self.recipe.image_size, self.recipe.image_size, self.splits["train"].channels)

    @property
    def input_shape(self) -> tuple[int | None, int | None, int]:
        """What the network is built for: any size if training and test images differ."""
        same = self.train_shape == self.image_shape
        return self.image_shape if same else (None, None, self.image_shape[-1])

    @property
    def labels(self) -> tuple[str, ...]:
        return self.splits["train"].labels

    @property
    def eval_split(self) -> str:
        """Where the network is measured during training: not on test images if others are held."""
        return "validation" if "validation" in self.splits else "test"

    def train_batches(self, first_step: int) -> Batches:
        return partial(
            plan.train_batches,
            self.splits["train"],
            self.recipe,
            self.preprocessing,
            first_step,
            broken=self.broken,
        )

    def eval_batches(self, split: str) -> Batches:
        return partial(
            eval_batches,
            self.splits[split],
            self.preprocessing,
            self.recipe.batch_size,
            broken=self.broken,
        )


def open_splits(recipe: Recipe, data_dir: str | None, crew: Crew = ALONE) -> dict[str, Examples]:
    """Opens the splits of a recipe; a missing one is an error before training starts.

    Args:
        recipe: which data set, and how many examples are held out.
        data_dir: where the set is, as `datasets.load` takes it.
        crew: the workers that open the data together.

    Raises:
        ValueError: if there is no such data, or it cannot be read.
    """
    try:
        return datasets.splits(recipe.dataset, data_dir, recipe.validation, crew)
    except tf.errors.OpError as error:
        raise ValueError(message(error)) from error


def settled(
    recipe: Recipe,
    splits: Mapping[str, Examples],
    kept: Preprocessing | None = None,
    first: FirstWeights | None = None,
) -> Data:
    """Returns the data of a recipe, with its preprocessing, which may need a look at all images.

    Args:
        recipe: what is trained.
        splits: as `open_splits` returns them.
        kept: the preprocessing of a run that resumes; by default what the recipe says.
        first: the first weights of the recipe, if they are open already.

    Raises:
        ValueError: if recipe and data do not fit, or too many images are broken.
    """
    broken = Broken(recipe.max_broken)
    if first is None and recipe.init_weights:
        first = FirstWeights(recipe.init_weights, recipe.network)
    try:
        chosen = kept or _preprocessing(recipe, splits["train"], first, broken)
    except tf.errors.OpError as error:
        raise ValueError(message(error)) from error
    return Data(recipe, splits, chosen, broken, first)


def open_data(recipe: Recipe, data_dir: str | None, kept: Preprocessing | None = None) -> Data:
    """Opens the splits of a recipe and settles their preprocessing.

    Args, Raises: see `open_splits` and `settled`.
    """
    return settled(recipe, open_splits(recipe, data_dir), kept)


def _preprocessing(
    recipe: Recipe, examples: Examples, first: FirstWeights | None, broken: Broken
) -> Preprocessing:
    """Returns the recipe's preprocessing, with the mean image of these examples if it has one."""
    size = recipe.test_size or recipe.image_size
    crop = recipe.crop or (0.875 if recipe.scales else 1.0)
    if recipe.preprocessing == "per_pixel":
        plain = Preprocessing(image_size=size, crop=crop)
        return preprocessing.per_pixel(mean_image(examples, plain, broken))
    if recipe.preprocessing != "weights" or first is None:
        chosen = preprocessing.mode(recipe.preprocessing, image_size=size, crop=crop)
        validity.check_channels(recipe.preprocessing, chosen, examples.channels)
        return chosen
    known = first.preprocessing(recipe.network, recipe.fields, examples.channels)
    if np.ndim(known.mean) == 3:  # a mean image of other images
        known = replace(known, mean=None)
    known = replace(known, image_size=size)
    if known.mean is None:
        known = replace(known, mean=mean_image(examples, known, broken))
    return known
