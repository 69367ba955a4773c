"""Lengths in epochs: what moves in proportion, and what stays."""

import pytest

from tests.support import helpers
from train.recipes import RECIPES, length


def test_epochs_move_what_is_counted_in_steps():
    """ImageNet of 12,800 images: 90 epochs of 50 steps, divided at 30 and 60."""
    recipe = length.in_epochs(RECIPES["imagenet_resnet50"], 90, 12_800)
    assert recipe.steps == 90 * 50
    assert recipe.boundaries == (30 * 50, 60 * 50)
    warm = length.in_epochs(RECIPES["imagenet_resnet50_8k"], 45, 1_281_167)
    assert warm.steps == pytest.approx(45 * 156, abs=45)
    assert warm.boundaries == pytest.approx((15 * 156, 30 * 156, 40 * 156), abs=45)
    assert warm.warmup_steps == pytest.approx(2.5 * 156, abs=45)


def test_what_flags_give_stays():
    recipe = helpers.recipe(
        steps=100, boundaries=(7, 9), warmup_steps=5, eval_every=30, log_every=40, batch_size=10
    )
    kept = {"boundaries": (7, 9), "eval_every": 30}
    found = length.in_epochs(recipe, 2, 100, kept)
    assert (found.steps, found.boundaries, found.eval_every) == (20, (7, 9), 30)
    assert (found.warmup_steps, found.log_every) == (1, 1)


def test_the_last_batch_may_go_beyond():
    recipe = helpers.recipe(batch_size=8)
    assert length.in_epochs(recipe, 1, 9).steps == 2
    assert length.in_epochs(recipe, 0.5, 16).steps == 1
    assert length.in_epochs(recipe, 0.01, 16).steps == 1


def test_boundaries_need_room():
    with pytest.raises(ValueError, match=r"1 steps leave no room .* become \(0, 1\)"):
        length.in_epochs(RECIPES["cifar10_resnet20"], 0.001, 50_000)


@pytest.mark.parametrize(("images", "steps"), [(10, 50), (69, 65), (100, 94), (5000, 1000)])
def test_fine_tuning_is_as_long_as_its_data_needs(images, steps):
    """30 epochs in batches of 32, from 50 to 1,000 steps; measured in docs/training.md."""
    recipe = length.for_data(RECIPES["finetune"], 30, images)
    assert recipe.steps == steps
    assert recipe.warmup_steps == pytest.approx(steps / 20, abs=1)
    assert recipe.eval_every == pytest.approx(steps / 5, abs=1)
    assert recipe.log_every == pytest.approx(steps / 10, abs=1)
