"""A tiny network, three batches, and their steps: by `train_step`, and by plain gradients."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import keras_resnet
from tests.support import helpers
from train.recipes import plan
from train.recipes.recipe import Recipe

ONE = tf.distribute.get_strategy()
RECIPE = helpers.recipe(weight_decay=0.01, label_smoothing=0.1)
RATES = (0.1, 0.05, 0.02)


def network(frozen: bool = False) -> keras.Model:
    keras.utils.set_random_seed(1)
    model = keras_resnet.resnet(
        "resnet20", repeats=(1, 1, 1), input_shape=(8, 8, 3), classifier_activation=None
    )
    helpers.randomize(model)
    for layer in model.layers:
        if frozen and isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    return model


def batches(count: int = 3) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Images, labels and weights, which are all 1."""
    random = np.random.default_rng(0)
    shape = (count, RECIPE.batch_size, 8, 8, 3)
    images = random.normal(size=shape).astype(np.float32)
    labels = random.integers(0, 10, shape[:2])
    return list(zip(images, labels, np.ones(shape[:2], np.float32), strict=True))


def reference(models: list[keras.Model], recipe: Recipe) -> list[dict[str, float]]:
    """SGD as Caffe and the paper have it: v <- m v - rate (g + wd w), w <- w + v.

    Each model takes its share of a batch, one after another, as a replica would; returns the
    loss and the accuracy (percent) of each step.
    """
    weights = [w.numpy() for w in models[0].trainable_variables]
    velocities = [np.zeros_like(w) for w in weights]
    history = []
    for rate, (images, labels, _) in zip(RATES, batches(), strict=True):
        sums = [recipe.weight_decay * w for w in weights]
        losses = 0.0
        correct = 0
        parts = (np.split(images, len(models)), np.split(labels, len(models)))
        for model, x, y in zip(models, *parts, strict=True):
            with tf.GradientTape() as tape:
                logits = model(x, training=True)
                targets = 0.9 * tf.one_hot(y, 10) + 0.1 / 10
                loss = -tf.reduce_sum(targets * tf.nn.log_softmax(logits)) / len(images)
            gradients = tape.gradient(loss, model.trainable_variables)
            sums = [s + g for s, g in zip(sums, gradients, strict=True)]
            losses += float(loss)
            correct += np.sum(np.argmax(logits, 1) == y)
        velocities = [recipe.momentum * v - rate * s for v, s in zip(velocities, sums, strict=True)]
        weights = [w + v for w, v in zip(weights, velocities, strict=True)]
        for model in models:
            for variable, weight in zip(model.trainable_variables, weights, strict=True):
                variable.assign(weight)
        history.append({"loss": losses, "accuracy": 100 * correct / len(images)})
    return history


def train(
    strategy: tf.distribute.Strategy,
    *,
    frozen: bool = False,
    jit_compile: bool = False,
    recipe: Recipe = RECIPE,
):
    """Takes three steps of `train_step`; returns the model and the metrics of each step."""
    with strategy.scope():
        model = network(frozen)
        update = plan.update(recipe, model)
    step = plan.train_step(
        recipe, strategy, model, update, plan.task(recipe), jit_compile=jit_compile
    )
    history = []
    for rate, batch in zip(RATES, batches(), strict=True):
        metrics = step(*share(strategy, batch), tf.constant(rate))
        assert float(metrics.pop("skipped")) == 0
        history.append({k: float(v) for k, v in metrics.items()})
    return model, history


def share(strategy: tf.distribute.Strategy, batch: tuple[np.ndarray, ...]):
    """Gives each replica its part of a batch, as tensors."""
    count = strategy.num_replicas_in_sync
    parts = [np.split(x, count) for x in batch]
    tensors = [[tf.constant(x[i]) for i in range(count)] for x in parts]
    if count == 1:
        return [x[0] for x in tensors]
    return [
        strategy.experimental_distribute_values_from_function(
            lambda context, x=x: x[context.replica_id_in_sync_group]
        )
        for x in tensors
    ]


def close(actual, expected, atol: float) -> None:
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=0, atol=atol)


def saved(file: Path) -> list[np.ndarray]:
    with np.load(file) as archive:
        return list(archive.values())
