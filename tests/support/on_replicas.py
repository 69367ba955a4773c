"""Modules of `tests.support` that run on several replicas, in a process for each number of them."""

from pathlib import Path

import pytest

from tests.support import helpers

# Four replicas differ from two in nothing but their number.
counts = pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.slow)])


class OnReplicas:
    """Where a module wrote its results, by the number of replicas; it runs once for each."""

    def __init__(self, module: str, folder: Path) -> None:
        self._module = f"tests.support.{module}_on_replicas"
        self._folder = folder

    def __call__(self, count: int) -> Path:
        folder = self._folder / str(count)
        if not folder.exists():
            folder.mkdir()
            done = helpers.module(self._module, str(folder), str(count))
            assert done.returncode == 0, done.stderr
        return folder
