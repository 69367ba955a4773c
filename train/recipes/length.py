"""How long a recipe is followed: in steps, or in epochs of data whose size is known by then."""

import math
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from train.recipes.recipe import Recipe

EVALUATIONS = 20  # of a short run, at least
LINES = 100  # of metrics of a short run, at least
LEAST = 50  # steps for data of a few images


def shortened(recipe: Recipe, steps: int | None, kept: Collection[str] = ()) -> Recipe:
    """Returns a recipe of fewer or more steps, whose learning rate changes at the same shares.

    Args:
        recipe: what is trained.
        steps: None: as many as the recipe has.
        kept: fields that stay as they are.

    Raises:
        ValueError: if so few steps leave no room between boundaries.
    """
    if steps is None or steps == recipe.steps:
        return recipe
    share = steps / recipe.steps
    changes: dict[str, Any] = {
        "boundaries": tuple(round(boundary * share) for boundary in recipe.boundaries),
        "warmup_steps": math.ceil(recipe.warmup_steps * share),
        "freeze_steps": math.ceil(recipe.freeze_steps * share),
        "eval_every": max(1, min(recipe.eval_every, steps // EVALUATIONS)),
        "log_every": max(1, min(recipe.log_every, steps // LINES)),
    }
    changes = {name: value for name, value in changes.items() if name not in kept}
    boundaries = changes.get("boundaries", ())
    if list(boundaries) != sorted({*boundaries} - {0}):
        raise ValueError(
            f"{steps} steps leave no room between the steps at which the rate is divided:"
            f" {recipe.boundaries} of {recipe.steps} become {boundaries}"
        )
    return replace(recipe, steps=steps, **changes)


def in_epochs(recipe: Recipe, epochs: float, examples: int, kept: Collection[str] = ()) -> Recipe:
    """Returns a recipe that ends after so many passes over the training split.

    Args:
        recipe: what is trained.
        epochs: number of passes; the last batch may go beyond.
        examples: of the training split.
        kept: as of `shortened`.

    Raises:
        ValueError: as `shortened`.
    """
    steps = math.ceil(epochs * examples / recipe.batch_size)
    return shortened(recipe, max(1, steps), kept)


def for_data(recipe: Recipe, epochs: float, examples: int, kept: Collection[str] = ()) -> Recipe:
    """Returns a recipe for data of any size: some epochs, but neither too few nor too many steps.

    It is evaluated as often as the whole recipe would be: a few images need no more.

    Args:
        recipe: what is trained; its steps are the most that are taken.
        epochs: as of `in_epochs`.
        examples: as of `in_epochs`.
        kept: as of `shortened`.

    Raises:
        ValueError: as `shortened`.
    """
    wanted = in_epochs(recipe, epochs, examples, kept).steps
    steps = min(max(wanted, LEAST), recipe.steps)
    cadence = {
        name: math.ceil(getattr(recipe, name) * steps / recipe.steps)
        for name in ("eval_every", "log_every")
        if name not in kept
    }
    return replace(shortened(recipe, steps, kept), **cadence)
