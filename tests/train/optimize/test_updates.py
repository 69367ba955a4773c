"""Averages of weights, loss scaling and steps left out, on one replica and on several."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import tensorflow as tf

from keras_resnet import transfer
from tests.support import helpers
from tests.support.on_replicas import OnReplicas
from tests.support.steps_reference import RECIPE, network, reference
from tests.support.updates_on_replicas import EVENTS, GOOD, SKIPPED, Held
from train.recipes import plan

RUNS = {"one": 1, "two": 2, "four": 4, "four_jit": 4}
runs = pytest.mark.parametrize(
    "name", [pytest.param(x, marks=pytest.mark.slow) if RUNS[x] == 4 else x for x in RUNS]
)


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Callable[[str], Held]:
    """What each run held; that of four replicas needs a process of its own."""
    made = OnReplicas("updates", tmp_path_factory.mktemp("updates"))
    return cache(lambda name: dict(np.load(made(4 if "four" in name else 2) / f"{name}.npz")))


@cache
def expected(count: int) -> list[np.ndarray]:
    """The weights of each replica after three plain steps, whose loss nobody scaled."""
    models = [network() for _ in range(count)]
    reference(models, RECIPE)
    return [np.concatenate([np.ravel(w) for w in model.get_weights()]) for model in models]


@cache
def learns() -> np.ndarray:
    """Which of the numbers of `Held["weights"]` belong to a trainable weight."""
    model = network()
    paths = {v.path for v in model.trainable_variables}
    return np.concatenate(
        [np.full(w.value.shape.num_elements(), w.path in paths) for w in model.weights]
    )


def unchanged(run: Held, number: int) -> None:
    for group in ("weights", "slots", "iterations", "averages"):
        before, after = run[group][number : number + 2]
        assert np.isfinite(after).all(), (number, group)
        np.testing.assert_array_equal(after, before, f"{group} in step {number}")


@runs
def test_a_scale_changes_no_step_and_a_bad_step_nothing_at_all(results, name) -> None:
    run = results(name)
    assert run["metrics"][:, 1].tolist() == SKIPPED
    for number in np.flatnonzero(SKIPPED):
        unchanged(run, number)
    after = GOOD[2] + 1  # three good steps, and two bad ones before and between
    for replica, weights in enumerate(expected(RUNS[name])):
        assert np.abs(run["weights"][0, replica] - weights).max() > 0.01
        np.testing.assert_allclose(run["weights"][after, replica], weights, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(run["iterations"][-1], len(EVENTS) - sum(SKIPPED))


@runs
def test_the_scale_doubles_after_good_steps_and_halves_down_to_1(results, name) -> None:
    scales = results(name)["scale"]
    assert (scales[0] == 2.0**15).all()
    for scale, (*_, after) in zip(scales[1:], EVENTS, strict=True):
        assert scale.shape == (RUNS[name], 1)
        assert (scale == after).all()


@runs
def test_averages_are_those_of_the_weights_after_good_steps(results, name) -> None:
    """Statistics included, those of each replica; the first step is where they begin."""
    run = results(name)
    average = None
    for number in GOOD:
        weights = run["weights"][number + 1].astype("float64")
        average = weights if average is None else 0.8 * average + 0.2 * weights
        np.testing.assert_allclose(run["averages"][number + 1], average, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(run["averages"][GOOD[0] + 1], run["weights"][GOOD[0] + 1])
    assert np.abs(average - weights)[:, ~learns()].max() > 0.01


@runs
def test_replicas_stay_equal_bit_for_bit(results, name) -> None:
    """But for the statistics of their own images."""
    run = results(name)
    for group in ("weights", "averages", "slots", "scale", "iterations"):
        numbers = run[group][..., learns()] if group in ("weights", "averages") else run[group]
        np.testing.assert_array_equal(numbers, numbers[:, :1].repeat(RUNS[name], 1), group)
    if RUNS[name] > 1:  # statistics of their own images
        assert np.abs(np.diff(run["weights"][GOOD[0] + 1], axis=0)).max() > 1e-3


@runs
def test_at_a_scale_of_1_the_run_sees_that_it_diverges(results, name) -> None:
    """In the loss, though a fused ReLU may make 0 of what is no number.

    A checkpoint of such weights is refused.
    """
    run = results(name)
    assert np.isfinite(run["weights"][-2]).all()
    assert not np.isfinite(run["weights"][-1][:, learns()]).all()
    assert np.isfinite(run["metrics"][GOOD, 0]).all()
    assert np.isnan(run["metrics"][-1, 0])


def test_float16_learns_and_leaves_out_what_overflows(results) -> None:
    run = results("float16")
    losses, skipped = run["metrics"].T
    scales = run["scale"][1:, 0, 0]
    assert skipped[0] == 1
    assert scales[0] == 2.0**21
    for number in np.flatnonzero(skipped):  # finite activations, whose gradients were not
        unchanged(run, number)
        assert scales[number] == scales[number - 1] / 2 or number == 0
    assert np.sum(skipped == 0) >= 10
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.3 * losses[0]
    trained = run["weights"][:, :, learns()]
    np.testing.assert_array_equal(trained[:, 0], trained[:, 1])


@pytest.mark.parametrize(
    ("optimizer", "slots"),
    [
        ("sgd", ["momentum"]),
        ("lars", ["momentum"]),
        ("adamw", ["momentum", "velocity"]),
        ("lamb", ["mean", "square"]),
    ],
)
def test_what_is_frozen_has_its_slots_already(optimizer, slots) -> None:
    model = network()
    everything = model.trainable_variables
    update = plan.update(helpers.recipe(optimizer=optimizer), model)
    transfer.freeze(model, ("stem", "stage1"))
    assert 0 < len(model.trainable_variables) < len(everything)
    shapes = {v.path: v.shape for v in update.optimizer.variables}
    for variable in everything:
        for slot in slots:
            name = f"{optimizer}/{variable.path.replace('/', '_')}_{slot}"
            assert shapes.pop(name) == variable.shape
    assert set(shapes) == {f"{optimizer}/iteration", f"{optimizer}/learning_rate"}
    stem = everything[0]
    before = stem.numpy()
    transfer.freeze(model, [])
    update.optimizer.update_step(tf.ones(stem.shape), stem, tf.constant(0.1))
    assert np.abs(stem.numpy() - before).max() > 1e-5


@pytest.mark.parametrize("optimizer", ["sgd", "lars", "adamw", "lamb"])
def test_a_second_one_in_a_process_has_the_same_names(optimizer) -> None:
    """Checkpoints hold them, and a process may resume more than one run."""
    row = helpers.recipe(optimizer=optimizer, ema=0.9)
    updates = [plan.update(row, network(), scaled=True) for _ in range(2)]
    one, two = ({k: [v.path for v in g] for k, g in u.variables.items()} for u in updates)
    assert one == two
    assert len(set(one["optimizer"])) == len(one["optimizer"])
    assert set(one) == {"optimizer", "ema", "loss_scale"}
    assert all(one.values())
