"""Learning rates as functions of the step, from 0."""

import math
from collections.abc import Callable, Sequence
from typing import SupportsFloat

LearningRate = Callable[[int], float]


def divided(peak: float, boundaries: Sequence[int]) -> LearningRate:
    """Returns the peak rate, divided by ten at each of these steps."""
    return lambda step: peak * 0.1 ** sum(step >= boundary for boundary in boundaries)


def cosine(peak: float, steps: int, warmup_steps: int = 0) -> LearningRate:
    """Returns half a period of a cosine, from the peak rate at the end of the warm-up to 0."""
    return lambda step: peak * 0.5 * (1 + math.cos(math.pi * _done(step, steps, warmup_steps)))


def square(peak: float, steps: int, warmup_steps: int = 0) -> LearningRate:
    """Returns a parabola, from the peak rate at the end of the warm-up to 0 (MLPerf's)."""
    return lambda step: peak * (1 - _done(step, steps, warmup_steps)) ** 2


def _done(step: int, steps: int, warmup_steps: int) -> float:
    """Returns the share of the steps after the warm-up that are done."""
    return min(1.0, (step - warmup_steps) / max(1, steps - warmup_steps))


def linear_warmup(rate: LearningRate, peak: float, steps: int, start: float = 0.0) -> LearningRate:
    """Returns a rate that first rises in a line to its peak (arXiv:1706.02677, section 2.2).

    Args:
        rate: the rate after the warm-up.
        peak: reached by the last step of the warm-up.
        steps: length of the warm-up; 0 for none.
        start: where the line begins, one step before the first.
    """

    def warming(step: int) -> float:
        if step < steps:
            return start + (peak - start) * ((step + 1) / steps)
        return rate(step)

    return warming


def constant_warmup(rate: LearningRate, low: float, steps: int) -> LearningRate:
    """Returns a rate that first stays at a low one (arXiv:1603.05027, appendix).

    Args:
        rate: the rate after the warm-up.
        low: the rate of the warm-up.
        steps: length of the warm-up; 0 for none.
    """
    return lambda step: low if step < steps else rate(step)


class ErrorWarmup:
    """A tenth of the rate until the training error falls below a bound, and then never again.

    The rule for 110 layers (arXiv:1512.03385, section 4.2). The paper does not say how it
    measured the error; here it is the mean over about the last twenty batches.

    Args:
        bound: of the error, as a share of 1; 0 for no warm-up.
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
        """Takes the training accuracy of a batch, in percent; reads it only while it matters."""
        if self.warm:
            return
        error = 1 - float(accuracy) / 100
        self.state["error"] += 0.05 * (error - self.state["error"])
        self.state["warm"] = float(self.state["error"] < self._bound)
