"""Learning rates as functions of the step."""

import math
from collections.abc import Callable
from typing import SupportsFloat

from train.recipes.recipe import Recipe

LearningRate = Callable[[int], float]


def learning_rate(recipe: Recipe) -> LearningRate:
    """Returns the rate at each step, from 0, without the rule of `warmup_error`."""

    def stepped(step: int) -> float:
        return recipe.learning_rate * 0.1 ** sum(step >= at for at in recipe.boundaries)

    def done(step: int) -> float:
        after = recipe.steps - recipe.warmup_steps
        return min(1.0, (step - recipe.warmup_steps) / max(1, after))

    rate = {
        "step": stepped,
        "cosine": lambda step: recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * done(step))),
        "square": lambda step: recipe.learning_rate * (1 - done(step)) ** 2,
    }[recipe.schedule]

    def warmed(step: int) -> float:
        if step < recipe.warmup_steps:
            rise = (step + 1) / recipe.warmup_steps
            return recipe.warmup_rate + (recipe.learning_rate - recipe.warmup_rate) * rise
        return rate(step)

    return warmed


class ErrorWarmup:
    """A tenth of the rate until the training error falls below a bound, then never again.

    The rule for 110 layers (arXiv:1512.03385, section 4.2). The paper does not say how it
    measured the error; here it is the mean over about the last twenty batches.
    """

    def __init__(self, bound: float) -> None:
        self._bound = bound
        self.state = {"error": 1.0, "warm": float(not bound)}

    @property
    def warm(self) -> bool:
        return bool(self.state["warm"])

    @property
    def factor(self) -> float:
        return 1.0 if self.warm else 0.1

    def observe(self, accuracy: SupportsFloat) -> None:
        """Takes the training accuracy of a batch, in [0, 1]; reads it only while it matters."""
        if self.warm:
            return
        self.state["error"] += 0.05 * (1 - float(accuracy) - self.state["error"])
        self.state["warm"] = float(self.state["error"] < self._bound)
