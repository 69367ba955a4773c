"""The rules of an update, each over five steps, against Torch, timm, and the papers in numpy."""

from collections.abc import Sequence

import keras
import numpy as np
import pytest
import tensorflow as tf
import timm.optim
import torch

from tests.support import helpers
from train.recipes import plan
from train.recipes.recipe import Recipe

Arrays = list[np.ndarray]

NAMES = ("conv/kernel", "logits/kernel", "norm/gamma", "logits/bias")
SHAPES = ((3, 3, 2, 4), (6, 5), (4,), (5,))
CONSTANT = (0.1,) * 5
CHANGING = (0.1, 0.2, 0.05, 0.01, 0.1)
RANDOM = np.random.default_rng(0)
START = [RANDOM.normal(size=shape).astype("float32") for shape in SHAPES]
# Of either sign, and none of them so small that somebody's epsilon would be seen.
GRADIENTS = [
    [np.float32(RANDOM.uniform(0.5, 2, s) * RANDOM.choice([-1, 1], s)) for s in SHAPES]
    for _ in CONSTANT
]
ADAPTIVE = 1e-5  # in float32, 1 - 0.999**time keeps four digits of seven: so many has a step of 0.1
OPTIMIZERS = ("sgd", "lars", "adamw", "lamb")
DECAY = 0.05
TRUST = 0.02
NORM = np.linalg.norm


def variables(values: Arrays = START) -> list[keras.Variable]:
    found = []
    for name, value in zip(NAMES, values, strict=True):
        with keras.name_scope(name.split("/")[0]):
            found.append(keras.Variable(value, name=name.split("/")[1]))
    assert tuple(v.path for v in found) == NAMES
    return found


def ours(
    recipe: Recipe,
    rates: Sequence[float] = CONSTANT,
    start: Arrays = START,
    gradients: Sequence[Arrays] = GRADIENTS,
) -> Arrays:
    weights = variables(start)
    optimizer = plan.optimizer(recipe, weights)
    for rate, grads in zip(rates, gradients, strict=True):
        for grad, weight in zip(grads, weights, strict=True):
            optimizer.update_step(tf.constant(grad), weight, tf.constant(rate))
        optimizer.iterations.assign_add(1)
    return [weight.numpy() for weight in weights]


def theirs(make, rates: Sequence[float] = CONSTANT, vectors: float = DECAY, **arguments) -> Arrays:
    """Follows an optimizer of Torch's kind, with a decay of its own for vectors."""
    weights = [torch.nn.Parameter(torch.tensor(w)) for w in START]
    kernels, rest = ([w for w in weights if (w.ndim > 1) is many] for many in (True, False))
    groups = [{"params": kernels}, {"params": rest, "weight_decay": vectors}]
    optimizer = make(groups, lr=rates[0], weight_decay=DECAY, **arguments)
    for rate, grads in zip(rates, GRADIENTS, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = rate
        for weight, grad in zip(weights, grads, strict=True):
            weight.grad = torch.tensor(grad)
        optimizer.step()
    return [weight.detach().numpy() for weight in weights]


def numpy_rule(rule, rates: Sequence[float] = CHANGING, gradients=GRADIENTS) -> Arrays:
    """Follows `rule(weight, gradient, rate, time, slots) -> weight` in float64."""
    weights = [w.astype("float64") for w in START]
    slots: list[dict[str, np.ndarray]] = [{} for _ in weights]
    for time, (rate, grads) in enumerate(zip(rates, gradients, strict=True), 1):
        rows = zip(weights, grads, slots, strict=True)
        weights = [rule(w, g.astype("float64"), rate, time, slot) for w, g, slot in rows]
    return weights


def close(found: Arrays, expected: Arrays, atol: float = 2e-6) -> None:
    """Weights are of the size of 1, steps of 0.1, and float32 has seven digits."""
    for f, e, w in zip(found, expected, START, strict=True):
        assert np.abs(w - e).max() > 100 * atol  # or the test would test nothing
        np.testing.assert_allclose(f, e, rtol=0, atol=atol)


@pytest.mark.parametrize("norms", [True, False])
@pytest.mark.parametrize(
    ("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True), (0.5, True)]
)
def test_sgd_is_that_of_torch_at_a_constant_rate(momentum, nesterov, norms) -> None:
    row = helpers.recipe(
        momentum=momentum, nesterov=nesterov, weight_decay=DECAY, decay_norms=norms
    )
    vectors = DECAY if norms else 0.0
    expected = theirs(torch.optim.SGD, vectors=vectors, momentum=momentum, nesterov=nesterov)
    close(ours(row), expected)


@pytest.mark.parametrize("nesterov", [False, True])
def test_a_new_rate_leaves_the_velocity_of_sgd_as_it_is(nesterov) -> None:
    """Caffe and the paper keep the rate inside the velocity, and Torch outside."""

    def sgd(weight, grad, rate, _, slots):
        grad = grad + DECAY * weight
        slots["v"] = 0.9 * slots.get("v", 0) - rate * grad
        return weight + (0.9 * slots["v"] - rate * grad if nesterov else slots["v"])

    row = helpers.recipe(nesterov=nesterov, weight_decay=DECAY)
    close(ours(row, CHANGING), numpy_rule(sgd))
    torchs = theirs(torch.optim.SGD, CHANGING, momentum=0.9, nesterov=nesterov)
    assert np.abs(ours(row, CHANGING)[0] - torchs[0]).max() > 0.01


def lars(weight, grad, rate, _, slots):
    """arXiv:1708.03888, algorithm 1; scales and biases follow plain SGD."""
    share = TRUST * NORM(weight) / (NORM(grad) + DECAY * NORM(weight)) if weight.ndim > 1 else 1
    slots["v"] = 0.9 * slots.get("v", 0) + rate * share * (grad + DECAY * weight)
    return weight - slots["v"]


def test_lars_is_algorithm_1() -> None:
    row = helpers.recipe(optimizer="lars", trust=TRUST, weight_decay=DECAY)
    close(ours(row, CHANGING), numpy_rule(lars))


@pytest.mark.parametrize("nesterov", [False, True])
def test_lars_is_that_of_timm(nesterov) -> None:
    """At a constant rate, and where kernels decay and vectors do not.

    timm has the rate outside the velocity, adapts whatever decays and nothing else, and takes a
    share of 1 where the gradient is 0.
    """
    row = helpers.recipe(
        optimizer="lars", trust=TRUST, weight_decay=DECAY, decay_norms=False, nesterov=nesterov
    )
    arguments = {"momentum": 0.9, "trust_coeff": TRUST, "nesterov": nesterov}
    close(ours(row), theirs(timm.optim.Lars, vectors=0.0, **arguments))


@pytest.mark.parametrize("norms", [True, False])
@pytest.mark.parametrize("rates", [CONSTANT, CHANGING])
def test_adamw_is_that_of_torch(rates, norms) -> None:
    """But for epsilon, 1e-8, which Torch adds after the correction of the bias and Keras before.

    In the first step that is 1e-8 / sqrt(1 - 0.999) = 3e-7 of a step, for gradients of 1.
    """
    row = helpers.recipe(optimizer="adamw", weight_decay=DECAY, decay_norms=norms)
    expected = theirs(torch.optim.AdamW, rates, DECAY if norms else 0.0, betas=(0.9, 0.999))
    close(ours(row, rates), expected, ADAPTIVE)


@pytest.mark.parametrize("size", [1.0, 1e-7])
def test_adamw_is_algorithm_2(size) -> None:
    """arXiv:1711.05101; epsilon as in the faster form of arXiv:1412.6980, end of section 2."""

    def adamw(weight, grad, rate, time, slots):
        slots["m"] = 0.9 * slots.get("m", 0) + 0.1 * grad
        slots["v"] = 0.999 * slots.get("v", 0) + 0.001 * grad**2
        correction = np.sqrt(1 - 0.999**time) / (1 - 0.9**time)
        step = correction * slots["m"] / (np.sqrt(slots["v"]) + 1e-8)
        return weight - rate * step - rate * DECAY * weight

    row = helpers.recipe(optimizer="adamw", weight_decay=DECAY)
    small = [[grad * np.float32(size) for grad in grads] for grads in GRADIENTS]
    close(ours(row, CHANGING, gradients=small), numpy_rule(adamw, gradients=small), ADAPTIVE)


def lamb(weight, grad, rate, time, slots):
    """arXiv:1904.00962, algorithm 2, with the length itself as phi."""
    slots["m"] = 0.9 * slots.get("m", 0) + 0.1 * grad
    slots["v"] = 0.999 * slots.get("v", 0) + 0.001 * grad**2
    mean = slots["m"] / (1 - 0.9**time)
    square = slots["v"] / (1 - 0.999**time)
    step = mean / (np.sqrt(square) + 1e-6) + DECAY * weight
    return weight - rate * NORM(weight) / NORM(step) * step


@pytest.mark.parametrize("size", [1.0, 1e-6])
def test_lamb_is_algorithm_2(size) -> None:
    row = helpers.recipe(optimizer="lamb", weight_decay=DECAY)
    small = [[grad * np.float32(size) for grad in grads] for grads in GRADIENTS]
    close(ours(row, CHANGING, gradients=small), numpy_rule(lamb, gradients=small), ADAPTIVE)


@pytest.mark.parametrize("norms", [True, False])
@pytest.mark.parametrize("rates", [CONSTANT, CHANGING])
def test_lamb_is_that_of_timm(rates, norms) -> None:
    row = helpers.recipe(optimizer="lamb", weight_decay=DECAY, decay_norms=norms)
    arguments = {"max_grad_norm": None, "bias_correction": True, "eps": 1e-6}
    expected = theirs(timm.optim.Lamb, rates, DECAY if norms else 0.0, **arguments)
    close(ours(row, rates), expected, ADAPTIVE)


@pytest.mark.parametrize("norms", [True, False])
@pytest.mark.parametrize(
    ("optimizer", "kernels", "vectors"),
    [
        ("sgd", 0.1 * DECAY, 0.1 * DECAY),
        ("lars", 0.1 * TRUST, 0.1 * DECAY),  # where nothing else pulls, trust is all that counts
        ("adamw", 0.1 * DECAY, 0.1 * DECAY),
        ("lamb", 0.1, 0.1),
    ],
)
def test_without_gradients_a_weight_decays_by_its_share(optimizer, kernels, vectors, norms) -> None:
    row = helpers.recipe(optimizer=optimizer, weight_decay=DECAY, decay_norms=norms, trust=TRUST)
    found = ours(row, (0.1,), gradients=[[np.zeros_like(w) for w in START]])
    for weight, before in zip(found, START, strict=True):
        share = kernels if before.ndim > 1 else vectors * norms
        np.testing.assert_allclose(weight, before * (1 - share), rtol=1e-6)
        assert share or np.array_equal(weight, before)


@pytest.mark.parametrize("decay", [0.0, DECAY])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_nothing_is_divided_by_the_length_of_nothing(optimizer, decay) -> None:
    row = helpers.recipe(optimizer=optimizer, weight_decay=decay)
    zeros = [w * 0 for w in START]
    still = ours(row, start=zeros, gradients=[zeros] * 5)
    assert all(np.array_equal(w, z) for w, z in zip(still, zeros, strict=True))
    kept = ours(row, gradients=[zeros] * 5)
    moved = ours(row, start=zeros)
    assert all(np.isfinite(w).all() for w in kept)
    assert all(np.isfinite(w).all() and np.all(w != 0) for w in moved)
    if not decay:
        assert all(np.array_equal(w, s) for w, s in zip(kept, START, strict=True))


def test_whole_numbers_are_numbers() -> None:
    row = helpers.recipe(learning_rate=1, momentum=0)
    close(ours(row), ours(helpers.recipe(learning_rate=1.0, momentum=0.0)))
