"""One step against plain gradients and numpy, on one replica and on several."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support import helpers
from tests.support.on_replicas import OnReplicas, counts
from tests.support.steps_reference import (
    ONE,
    RECIPE,
    batches,
    close,
    network,
    reference,
    saved,
    share,
    train,
)
from train.recipes import plan
from train.tasks import classification, evaluation


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def numpy_losses(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    return -np.log(softmax(logits))[np.arange(len(labels)), labels]


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
    step = plan.train_step(recipe, ONE, model, plan.update(recipe, model), plan.task(recipe))
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
    labels = random.integers(0, classes, 40)
    weights = np.float32(np.arange(40) < 33)
    rank = (logits > logits[np.arange(40), labels][:, None]).sum(1)
    expected = {
        "top1": weights @ (rank < 1),
        "top5": weights @ (rank < 5),
        "loss": weights @ numpy_losses(labels, logits),
        "examples": 33,
    }
    actual = evaluation.eval_step(ONE, model, classification.task())(
        *share(ONE, (logits, labels, weights))
    )
    assert {name: float(x) for name, x in actual.items()} == pytest.approx(expected, rel=1e-5)


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> OnReplicas:
    return OnReplicas("steps", tmp_path_factory.mktemp("steps"))


@counts
def test_frozen_statistics_make_replicas_equal_to_one(results, count):
    close(saved(results(count) / "frozen.npz"), train(ONE, frozen=True)[0].get_weights(), 1e-5)


@counts
def test_replicas_are_a_loop_over_their_shares(results, count):
    models = [network() for _ in range(count)]
    history = reference(models, RECIPE)
    # The moving statistics of the replicas drift apart, and are averaged in the end.
    means = [np.mean(w, 0) for w in zip(*(m.get_weights() for m in models), strict=True)]
    for replica in range(count):
        close(saved(results(count) / f"own_{replica}.npz"), means, 1e-5)
    expected = [[h["loss"], h["accuracy"]] for h in history]
    np.testing.assert_allclose(saved(results(count) / "history.npz"), expected, atol=1e-5)


@pytest.mark.slow
def test_xla_on_replicas(results):
    models = [network() for _ in range(4)]
    reference(models, RECIPE)
    trainable = {v.path for v in models[0].trainable_variables}
    pairs = zip(models[0].weights, saved(results(4) / "jit.npz"), strict=True)
    for weight, array in pairs:
        if weight.path in trainable:
            np.testing.assert_allclose(array, weight, atol=1e-4)
