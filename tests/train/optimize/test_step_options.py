"""What a step does beyond plain SGD, against numpy, on one replica and on several."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from tests.support.on_replicas import OnReplicas, counts
from tests.support.step_options_on_replicas import CLIPPED, PLAIN
from tests.support.steps_reference import (
    ONE,
    RATES,
    RECIPE,
    batches,
    close,
    network,
    saved,
    share,
    train,
)
from train.recipes import plan

MICRO = replace(RECIPE, micro_batches=4)


def gradients(model, images, labels) -> list[np.ndarray]:
    with tf.GradientTape() as tape:
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels, model(images, training=True)
        )
        loss = tf.reduce_mean(losses)
    return [grad.numpy() for grad in tape.gradient(loss, model.trainable_variables)]


def follow(change, recipe=PLAIN) -> list[np.ndarray]:
    """Three steps of momentum SGD in numpy, along gradients that `change` has changed."""
    model = network(frozen=True)
    variables = model.trainable_variables
    velocities = [np.zeros(v.shape, np.float32) for v in variables]
    for rate, (images, labels, _) in zip(RATES, batches(), strict=True):
        weights = [v.numpy() for v in variables]
        grads = change(gradients(model, images, labels), variables)
        velocities = [
            recipe.momentum * v - rate * g for v, g in zip(velocities, grads, strict=True)
        ]
        ahead = recipe.momentum if recipe.nesterov else 0.0
        for variable, w, v, g in zip(variables, weights, velocities, grads, strict=True):
            variable.assign(w + (ahead * v - rate * g if recipe.nesterov else v))
    return model.get_weights()


def clipped(grads, variables) -> list[np.ndarray]:
    norm = np.sqrt(sum(np.sum(np.square(grad, dtype=np.float64)) for grad in grads))
    assert norm > 2 * CLIPPED.clip_norm  # or the test would test nothing
    return [
        grad * CLIPPED.clip_norm / norm + 0.01 * variable.numpy()
        for grad, variable in zip(grads, variables, strict=True)
    ]


def test_the_norm_of_the_whole_gradient_is_clipped_before_the_decay() -> None:
    close(train(ONE, frozen=True, recipe=CLIPPED)[0].get_weights(), follow(clipped), 1e-5)


def test_a_short_gradient_is_not_clipped() -> None:
    long = replace(PLAIN, clip_norm=1e6)
    plain = train(ONE, frozen=True, recipe=PLAIN)[0].get_weights()
    close(train(ONE, frozen=True, recipe=long)[0].get_weights(), plain, 1e-7)


def test_micro_batches_are_one_batch() -> None:
    """With frozen statistics; else each part is normalized by itself."""
    whole, history = train(ONE, frozen=True)
    parts, other = train(ONE, frozen=True, recipe=MICRO)
    close(parts.get_weights(), whole.get_weights(), 1e-5)
    for one, two in zip(history, other, strict=True):
        assert one == pytest.approx(two, abs=1e-5)
    drifted = train(ONE, recipe=MICRO)[0].get_weights()
    pairs = zip(drifted, train(ONE)[0].get_weights(), strict=True)
    assert max(np.abs(a - b).max() for a, b in pairs) > 1e-3


def test_norms_and_biases_may_go_without_decay() -> None:
    recipe = replace(PLAIN, weight_decay=0.1, decay_norms=False)

    def decayed(grads, variables):
        return [
            grad + 0.1 * v.numpy() if len(v.shape) > 1 else grad
            for grad, v in zip(grads, variables, strict=True)
        ]

    close(train(ONE, frozen=True, recipe=recipe)[0].get_weights(), follow(decayed), 1e-5)


def test_nesterov_looks_ahead() -> None:
    """Sutskever et al., 2013, as Torch writes it: the step is momentum * v - rate * g."""
    recipe = replace(PLAIN, nesterov=True)
    expected = follow(lambda grads, _: grads, recipe)
    close(train(ONE, frozen=True, recipe=recipe)[0].get_weights(), expected, 1e-5)


def test_the_loss_tells_of_a_gradient_that_is_no_number() -> None:
    """On a CPU a fused ReLU makes 0 of NaN, so that the loss itself may look well for ever."""
    model = network()
    step = plan.train_step(RECIPE, ONE, model, plan.update(RECIPE, model), plan.task(RECIPE))
    images, labels, weights = batches(1)[0]
    images[0, 3, 3, 0] = np.inf
    found = [
        float(step(*share(ONE, batch), tf.constant(0.1))["loss"])
        for batch in [(images, labels, weights), *batches(2)]
    ]
    assert np.isnan(found).all(), found


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> OnReplicas:
    return OnReplicas("step_options", tmp_path_factory.mktemp("options"))


@counts
def test_replicas_clip_and_accumulate_as_one(results, count: int) -> None:
    close(saved(results(count) / "options.npz"), follow(clipped), 1e-5)


@pytest.mark.slow
def test_replicas_clip_and_accumulate_with_xla(results) -> None:
    close(saved(results(4) / "jit.npz"), follow(clipped), 1e-5)
