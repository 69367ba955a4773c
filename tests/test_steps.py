"""One step against plain gradients and numpy, on one replica and on several."""

from pathlib import Path

import helpers
import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_resnet
from train import devices, statistics, steps
from train.recipe import Recipe
from train.updates import Update

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


def batches(count: int = 3) -> list[tuple[np.ndarray, np.ndarray]]:
    random = np.random.default_rng(0)
    shape = (count, RECIPE.batch_size, 8, 8, 3)
    images = random.normal(size=shape).astype(np.float32)
    return list(zip(images, random.integers(0, 10, shape[:2]), strict=True))


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def numpy_losses(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    return -np.log(softmax(logits))[np.arange(len(labels)), labels]


def reference(models: list[keras.Model], recipe: Recipe) -> list[dict[str, float]]:
    """SGD as Caffe and the paper have it: v <- m v - rate (g + wd w), w <- w + v.

    Each model takes its share of a batch, one after another, as a replica would; returns the
    loss and the accuracy of each step.
    """
    weights = [w.numpy() for w in models[0].trainable_variables]
    velocities, history = [np.zeros_like(w) for w in weights], []
    for rate, (images, labels) in zip(RATES, batches(), strict=True):
        sums, losses, correct = [recipe.weight_decay * w for w in weights], 0.0, 0
        parts = (np.split(images, len(models)), np.split(labels, len(models)))
        for model, x, y in zip(models, *parts, strict=True):
            with tf.GradientTape() as tape:
                logits = model(x, training=True)
                targets = 0.9 * tf.one_hot(y, 10) + 0.1 / 10
                loss = -tf.reduce_sum(targets * tf.nn.log_softmax(logits)) / len(images)
            gradients = tape.gradient(loss, model.trainable_variables)
            sums = [s + g for s, g in zip(sums, gradients, strict=True)]
            losses, correct = losses + float(loss), correct + np.sum(np.argmax(logits, 1) == y)
        velocities = [recipe.momentum * v - rate * s for v, s in zip(velocities, sums, strict=True)]
        weights = [w + v for w, v in zip(weights, velocities, strict=True)]
        for model in models:
            for variable, weight in zip(model.trainable_variables, weights, strict=True):
                variable.assign(weight)
        history.append({"loss": losses, "accuracy": correct / len(images)})
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
        update = Update(model, recipe)
    step = steps.train_step(strategy, model, update, recipe, jit_compile=jit_compile)
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


@pytest.fixture(scope="module")
def trained() -> tuple[keras.Model, list[dict[str, float]]]:
    return train(ONE)


def test_three_steps_are_sgd_with_momentum_and_coupled_decay(trained):
    expected = network()
    reference([expected], RECIPE)
    before = network().get_weights()
    pairs = zip(before, expected.get_weights(), strict=True)
    assert max(np.abs(a - b).max() for a, b in pairs) > 0.01
    close(trained[0].get_weights(), expected.get_weights(), 1e-5)


def test_metrics_are_means_over_the_batch(trained):
    for actual, expected in zip(trained[1], reference([network()], RECIPE), strict=True):
        assert actual == pytest.approx(expected, abs=1e-5)


def test_weight_decay_reaches_every_trainable_weight():
    """With no other gradient, a step leaves w (1 - rate * decay) of each weight."""
    model = network()
    for layer in model.layers:  # logits that are all 0 pull at the classifier's bias alone
        if layer.name == "logits":
            layer.set_weights([np.zeros_like(w) for w in layer.get_weights()])
    before = {v.path: v.numpy() for v in model.trainable_variables}
    recipe = helpers.recipe(weight_decay=0.1)
    step = steps.train_step(ONE, model, Update(model, recipe), recipe)
    step(*share(ONE, batches(1)[0]), tf.constant(0.5))
    for variable in model.trainable_variables:
        if "logits" not in variable.path:
            np.testing.assert_allclose(variable, 0.95 * before[variable.path], atol=1e-6)


def test_xla_changes_nothing(trained):
    compiled, history = train(ONE, jit_compile=True)
    close(compiled.get_weights(), trained[0].get_weights(), 1e-4)
    for actual, expected in zip(history, trained[1], strict=True):
        assert actual == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("classes", [3, 10])
def test_eval_step_sums_what_weighs(classes):
    image = keras.Input((classes,))
    model = keras.Model(image, keras.layers.Identity()(image))
    random = np.random.default_rng(0)
    logits = random.normal(size=(40, classes)).astype(np.float32)
    labels, weights = random.integers(0, classes, 40), np.float32(np.arange(40) < 33)
    rank = (logits > logits[np.arange(40), labels][:, None]).sum(1)
    expected = {
        "top1": weights @ (rank < 1),
        "top5": weights @ (rank < 5),
        "loss": weights @ numpy_losses(labels, logits),
        "examples": 33,
    }
    actual = steps.eval_step(ONE, model)(*share(ONE, (logits, labels, weights)))
    assert {name: float(x) for name, x in actual.items()} == pytest.approx(expected, rel=1e-5)


def several_replicas(folder: str, count: int) -> None:
    """Runs in a process of its own, since devices are split before TensorFlow uses them."""
    strategy = devices.strategy("mirrored", count, RECIPE.batch_size)
    model, _ = train(strategy, frozen=True)
    np.savez(f"{folder}/frozen{count}.npz", *model.get_weights())
    model, history = train(strategy)
    statistics.average(strategy, statistics.moving(model))()
    for r in range(count):
        values = [strategy.experimental_local_results(w.value)[r] for w in model.weights]
        np.savez(f"{folder}/own{count}_{r}.npz", *(np.asarray(v) for v in values))
    np.savez(f"{folder}/history{count}.npz", *([h["loss"], h["accuracy"]] for h in history))
    if count == 2:
        compiled, _ = train(strategy, jit_compile=True)
        np.savez(f"{folder}/jit2.npz", *compiled.get_weights())


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("replicas")
    code = "import sys; sys.path.insert(0, 'tests'); import test_steps; "
    for count in (2, 4):
        call = f"test_steps.several_replicas({str(folder)!r}, {count})"
        done = helpers.python("-c", code + call)
        assert done.returncode == 0, done.stderr
    return folder


def saved(file: Path) -> list[np.ndarray]:
    with np.load(file) as archive:
        return list(archive.values())


@pytest.mark.parametrize("count", [2, 4])
def test_frozen_statistics_make_replicas_equal_to_one(results, count):
    close(saved(results / f"frozen{count}.npz"), train(ONE, frozen=True)[0].get_weights(), 1e-5)


@pytest.mark.parametrize("count", [2, 4])
def test_replicas_are_a_loop_over_their_shares(results, count):
    models = [network() for _ in range(count)]
    history = reference(models, RECIPE)
    # The moving statistics of the replicas drift apart, and are averaged in the end.
    means = [np.mean(w, 0) for w in zip(*(m.get_weights() for m in models), strict=True)]
    for replica in range(count):
        close(saved(results / f"own{count}_{replica}.npz"), means, 1e-5)
    expected = [[h["loss"], h["accuracy"]] for h in history]
    np.testing.assert_allclose(saved(results / f"history{count}.npz"), expected, atol=1e-5)


def test_xla_on_replicas(results):
    models = [network(), network()]
    reference(models, RECIPE)
    trainable = {v.path for v in models[0].trainable_variables}
    pairs = zip(models[0].weights, saved(results / "jit2.npz"), strict=True)
    for weight, array in pairs:
        if weight.path in trainable:
            np.testing.assert_allclose(array, weight, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("one", 2, 8), "replicas=2 needs strategy=mirrored"), (("mirrored", 3, 8), "3 replicas.*8")],
)
def test_replicas_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        devices.strategy(*arguments)
