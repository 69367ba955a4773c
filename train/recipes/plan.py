"""What a recipe means: the one place that unpacks it into the values that functions take."""

from functools import partial

import keras
import numpy as np
import tensorflow as tf

from keras_resnet.network import ResidualNetwork
from keras_resnet.preprocessing import Preprocessing
from keras_resnet.preprocessing.decoding import seen
from train.augment import images, mixing
from train.datasets import batches
from train.datasets.batches import ALONE, Share, Stream, Together
from train.datasets.decoding import Broken
from train.datasets.examples import Examples
from train.optimize import optimizers, schedules, steps, updates
from train.optimize.batching import Batching
from train.recipes.recipe import Recipe
from train.tasks import classification
from train.tasks.task import Task


def task(recipe: Recipe) -> Task:
    """Returns what a batch means: all recipes are of classification so far."""
    return classification.task(recipe.loss, recipe.label_smoothing, recipe.target_threshold)


def cutting(recipe: Recipe, preprocess: Preprocessing) -> images.Cutting:
    """Returns how training images are cut and scaled.

    Args:
        recipe: the augmentation, and the size of training images.
        preprocess: of evaluation, whose test images may have another size.
    """
    return images.cutting(recipe.augmentation, recipe.image_size, _fit(recipe, preprocess).view)


def _fit(recipe: Recipe, preprocess: Preprocessing) -> Preprocessing:
    """Returns what scales training images as evaluation scales test images."""
    return Preprocessing(
        image_size=recipe.image_size,
        crop=preprocess.crop,
        interpolation=preprocess.interpolation,
    )


def change(recipe: Recipe, preprocess: Preprocessing) -> images.Augment | None:
    """Returns how a training image changes after it is cut; None if it does not."""
    first = images.change(recipe.policy, recipe.magnitude, recipe.colour)
    if not recipe.erasing:
        return first
    fill = np.atleast_1d(np.float32(preprocess.mean))
    fill = np.flip(fill, -1) if preprocess.bgr else fill
    erase = partial(images.erase, probability=recipe.erasing, fill=fill)
    if first is None:
        return erase
    return lambda image, seed: erase(first(image, seed), seed)


def stream(recipe: Recipe, preprocess: Preprocessing, classes: int) -> Stream:
    """Returns which training images come at which step, and how they are changed."""
    cut = cutting(recipe, preprocess)
    changed = change(recipe, preprocess)
    together = None
    if changed is None and not recipe.scales:
        fit = _fit(recipe, preprocess)
        together = Together(cut.draw, lambda images, draws: cut.move(seen(images, fit.view), draws))
    mixes = recipe.mixup or recipe.cutmix
    mix = mixing.pairwise(recipe.mixup, recipe.cutmix, classes) if mixes else None
    return Stream(recipe.batch_size, cut.look, changed, together, mix, recipe.seed, recipe.repeats)


def train_batches(
    examples: Examples,
    recipe: Recipe,
    preprocess: Preprocessing,
    first_step: int,
    share: Share = ALONE,
    *,
    broken: Broken | None = None,
) -> tf.data.Dataset:
    """Returns the batches of a recipe from a step on; see `batches.train_batches`."""
    own = stream(recipe, preprocess, len(examples.labels))
    return batches.train_batches(examples, own, first_step, share, broken=broken)


def learning_rate(recipe: Recipe) -> schedules.LearningRate:
    """Returns the rate at each step, from 0, without the rule of `warmup_error`."""
    peak = recipe.learning_rate
    rate = {
        "step": schedules.divided(peak, recipe.boundaries),
        "cosine": schedules.cosine(peak, recipe.steps, recipe.warmup_steps),
        "square": schedules.square(peak, recipe.steps, recipe.warmup_steps),
    }[recipe.schedule]
    if recipe.warmup == "constant":
        return schedules.constant_warmup(rate, recipe.warmup_rate, recipe.warmup_steps)
    return schedules.linear_warmup(rate, peak, recipe.warmup_steps, recipe.warmup_rate)


def optimizer(recipe: Recipe, variables: list[keras.Variable]) -> keras.optimizers.Optimizer:
    """Returns the optimizer, with slots for these variables, also for those that are frozen."""
    decays = optimizers.decays(variables, recipe.weight_decay, norms=recipe.decay_norms)
    # With a name: Keras would number the optimizers of a process, and variables carry the name.
    name = recipe.optimizer
    rate = float(recipe.learning_rate)
    momentum = {"momentum": float(recipe.momentum), "nesterov": recipe.nesterov}
    built: keras.optimizers.Optimizer
    if name == "sgd":
        built = optimizers.SGD(decays, name=name, learning_rate=rate, **momentum)
    elif name == "lars":
        built = optimizers.LARS(decays, recipe.trust, name=name, learning_rate=rate, **momentum)
    elif name == "adamw":
        built = optimizers.AdamW(decays, name=name, learning_rate=rate)
    else:
        built = optimizers.LAMB(decays, name=name, learning_rate=rate)
    built.build(variables)
    return built


def batching(recipe: Recipe) -> Batching:
    """Returns the size and the parts of a batch."""
    return Batching(recipe.batch_size, recipe.micro_batches, recipe.sync_bn)


def update(recipe: Recipe, model: ResidualNetwork, *, scaled: bool = False) -> updates.Update:
    """Returns what changes the weights of a network; call it in the strategy's scope.

    Args:
        recipe: the rule.
        model: whose weights change.
        scaled: whether losses are scaled, as float16 needs it.
    """
    return updates.Update(
        model,
        optimizer(recipe, model.trainable_variables),
        ema=recipe.ema,
        clip_norm=recipe.clip_norm,
        stage_rate=recipe.stage_rate,
        scaled=scaled,
    )


def train_step(
    recipe: Recipe,
    strategy: tf.distribute.Strategy,
    model: ResidualNetwork,
    change: updates.Update,
    task: Task,
    *,
    jit_compile: bool = False,
) -> steps.TrainStep:
    """Returns a step of a recipe, for the parts of the network that are not frozen now."""
    return steps.train_step(
        strategy,
        model,
        change,
        task,
        batching(recipe),
        jit_compile=jit_compile,
    )
