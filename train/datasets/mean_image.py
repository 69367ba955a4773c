"""How the pixels of a run are scaled: as its recipe says, or its first weights."""

from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from keras_resnet import preprocessing, weights
from keras_resnet.preprocessing import Preprocessing
from keras_resnet.weights import Told
from train.datasets.decoding import Broken, watched, whole
from train.datasets.examples import Examples
from train.recipes.recipe import Recipe

IN_FLIGHT_BYTES = 1 << 26  # of resized images that are summed at a time


def preprocessing_of(
    recipe: Recipe, examples: Examples, broken: Broken | None = None
) -> Preprocessing:
    """Returns the recipe's preprocessing, with the mean image of these examples if it has one."""
    size = recipe.test_size or recipe.image_size
    crop = recipe.crop or (0.875 if recipe.scales else 1.0)
    if recipe.preprocessing == "weights":
        return _of_weights(recipe, examples, broken)
    if recipe.preprocessing != "per_pixel":
        chosen = preprocessing.mode(recipe.preprocessing, image_size=size, crop=crop)
        if len(chosen.mean) not in (1, examples.channels):
            raise ValueError(
                f"preprocessing={recipe.preprocessing!r} needs {len(chosen.mean)} channels,"
                f" the images have {examples.channels}"
            )
        return chosen
    plain = Preprocessing(image_size=size, crop=crop)
    return preprocessing.per_pixel(mean_image(examples, plain, broken))


def _of_weights(recipe: Recipe, examples: Examples, broken: Broken | None) -> Preprocessing:
    """Returns the preprocessing that the first weights were trained with, for these images."""
    file = weights.local(recipe.init_weights, recipe.network)
    with weights.opened(file) as held:
        settled = held.settle(Told(recipe.network, fields=recipe.fields))
    manifest = settled.manifest
    adapted = weights.adapted(manifest, settled.spec, examples.channels, len(manifest.labels))
    known = adapted.known_preprocessing()
    known = replace(known, mean=None) if np.ndim(known.mean) == 3 else known
    known = replace(known, image_size=recipe.test_size or recipe.image_size)
    if known.mean is None:
        known = replace(known, mean=mean_image(examples, known, broken))
    return known


def mean_image(
    examples: Examples, preprocess: Preprocessing, broken: Broken | None = None
) -> np.ndarray[Any, Any]:
    """Returns the mean over all resized examples, [*size, channels] of 0..255.

    Raises:
        ValueError: if none can be decoded.
    """
    images = whole(examples, broken).map(
        lambda image, _: preprocess.resize(image), tf.data.AUTOTUNE
    )

    total, count = np.zeros([*preprocess.size, examples.channels]), 0
    at_once = max(1, min(256, IN_FLIGHT_BYTES // (4 * total.size)))
    for batch in watched(images.batch(at_once), broken):
        total += tf.reduce_sum(tf.cast(batch, tf.float64), 0).numpy()
        count += len(batch)
    if broken:
        broken.check()  # where not a single one can be decoded, there is no batch
    if not count:
        raise ValueError("none of the images to train on can be decoded")
    return total / count
