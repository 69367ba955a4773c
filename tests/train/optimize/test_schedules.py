"""Learning rates against section 4.2 of the paper and against formulas."""

import numpy as np
import pytest

from tests.support import helpers
from train import recipes
from train.optimize.schedules import ErrorWarmup
from train.recipes import plan


@pytest.mark.parametrize(
    ("step", "rate"),
    [(0, 0.1), (31_999, 0.1), (32_000, 0.01), (47_999, 0.01), (48_000, 0.001), (63_999, 0.001)],
)
def test_cifar_divides_at_32k_and_48k(step, rate):
    learning_rate = plan.learning_rate(recipes.find("cifar10_resnet56"))
    assert learning_rate(step) == pytest.approx(rate, rel=1e-12)


@pytest.mark.parametrize(
    ("step", "rate"),
    [(0, 0.01), (399, 0.01), (400, 0.1), (31_999, 0.1), (32_000, 0.01), (63_999, 0.001)],
)
@pytest.mark.parametrize("name", ["cifar10_resnet164_v2", "cifar100_resnet1001_v2"])
def test_preactivation_networks_stay_at_a_hundredth_for_400_steps(name, step, rate):
    """arXiv:1603.05027, appendix: "0.01 at the beginning 400 iterations and go back to 0.1"."""
    assert plan.learning_rate(recipes.find(name))(step) == pytest.approx(rate, rel=1e-12)


def test_without_boundaries_the_rate_stays():
    learning_rate = plan.learning_rate(helpers.recipe(learning_rate=0.3, steps=100))
    assert {learning_rate(step) for step in range(100)} == {0.3}


@pytest.mark.parametrize("warmup", [0, 10])
def test_cosine_is_half_a_period_after_the_warmup(warmup):
    recipe = helpers.recipe(schedule="cosine", learning_rate=0.4, steps=110, warmup_steps=warmup)
    steps = np.arange(warmup, 110)
    expected = 0.2 * (1 + np.cos(np.pi * (steps - warmup) / (110 - warmup)))
    actual = [plan.learning_rate(recipe)(int(step)) for step in steps]
    np.testing.assert_allclose(actual, expected, rtol=1e-9)


@pytest.mark.parametrize("schedule", ["step", "cosine"])
def test_linear_warmup_rises_to_the_full_rate(schedule):
    recipe = helpers.recipe(schedule=schedule, learning_rate=0.5, steps=100, warmup_steps=5)
    actual = [plan.learning_rate(recipe)(step) for step in range(6)]
    np.testing.assert_allclose(actual, [0.1, 0.2, 0.3, 0.4, 0.5, 0.5], rtol=1e-9)


def test_a_warmup_may_start_above_0():
    """Goyal et al., section 2.2: from the rate of a small batch to that of a large one."""
    recipe = helpers.recipe(learning_rate=3.2, warmup_rate=0.1, steps=100, warmup_steps=5)
    actual = [plan.learning_rate(recipe)(step) for step in range(6)]
    np.testing.assert_allclose(actual, [0.72, 1.34, 1.96, 2.58, 3.2, 3.2], rtol=1e-9)


def test_square_is_the_polynomial_of_mlperf():
    recipe = helpers.recipe(schedule="square", learning_rate=4.0, steps=110, warmup_steps=10)
    actual = [plan.learning_rate(recipe)(step) for step in (10, 60, 109)]
    np.testing.assert_allclose(actual, [4.0, 1.0, 4e-4], rtol=1e-9)


@pytest.mark.parametrize("schedule", ["step", "cosine", "square"])
def test_after_a_constant_warmup_the_rate_is_that_after_a_linear_one(schedule):
    shape = {"schedule": schedule, "learning_rate": 0.5, "steps": 20}
    linear = helpers.recipe(**shape, warmup_steps=5)
    constant = helpers.recipe(**shape, warmup_steps=5, warmup="constant", warmup_rate=0.2)
    rates = [plan.learning_rate(constant)(step) for step in range(20)]
    assert rates[:5] == [0.2] * 5
    assert rates[5:] == [plan.learning_rate(linear)(step) for step in range(5, 20)]


def test_boundaries_count_from_the_start_also_after_a_warmup():
    recipe = helpers.recipe(boundaries=(10,), warmup_steps=5, steps=20)
    rate = plan.learning_rate(recipe)
    assert (rate(9), rate(10)) == pytest.approx((0.1, 0.01))


def observe(warmup: ErrorWarmup, accuracy: float, times: int) -> ErrorWarmup:
    """Shows it a share of correct images, in percent, so many times."""
    for _ in range(times):
        warmup.observe(accuracy)
    return warmup


def test_error_warmup_starts_at_a_tenth():
    assert ErrorWarmup(0.8).factor == 0.1


def test_error_warmup_stays_while_the_error_is_above_the_bound():
    assert observe(ErrorWarmup(0.8), 19.0, 5000).factor == 0.1


def test_error_warmup_ends_below_the_bound():
    assert observe(ErrorWarmup(0.8), 30.0, 200).factor == 1.0


def test_one_lucky_batch_does_not_end_the_warmup():
    assert observe(ErrorWarmup(0.8), 100.0, 1).factor == 0.1


def test_error_warmup_never_goes_back():
    warmup = observe(ErrorWarmup(0.8), 50.0, 200)
    assert observe(warmup, 0.0, 1000).factor == 1.0


def test_without_a_bound_there_is_no_warmup():
    warmup = ErrorWarmup(0.0)
    assert warmup.factor == 1.0
    assert observe(warmup, 0.0, 100).factor == 1.0


@pytest.mark.parametrize("before", [3, 200], ids=["not yet warm", "warm"])
def test_error_warmup_survives_a_restart(before):
    """What the state holds decides alone how an interrupted warm-up goes on."""
    first = observe(ErrorWarmup(0.8), 30.0, before)
    second = ErrorWarmup(0.8)
    second.state.update({name: float(value) for name, value in first.state.items()})
    for _ in range(200):
        assert second.factor == first.factor
        observe(first, 25.0, 1)
        observe(second, 25.0, 1)
    assert first.state == second.state
    assert second.factor == 1.0
