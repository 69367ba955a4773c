"""Products of choices: every choice once by default, all combinations with the slow tests."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest


def crossed(names: str, *choices: Sequence[Any]) -> pytest.MarkDecorator:
    """Parametrizes with all combinations; of those that are not slow, each choice is in one.

    They are as many as the longest list, through which the others go round. For choices that act
    on their own.
    """
    lists = [list(each) for each in choices]
    count = max(len(each) for each in lists)
    quick = {tuple(i % len(each) for each in lists) for i in range(count)}
    rows = []
    for places in itertools.product(*(range(len(each)) for each in lists)):
        values = [each[place] for each, place in zip(lists, places, strict=True)]
        rows.append(pytest.param(*values, marks=() if places in quick else pytest.mark.slow))
    return pytest.mark.parametrize(names, rows)
