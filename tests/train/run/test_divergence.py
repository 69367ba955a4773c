"""A training whose numbers are none any more ends at once, and says where one could go on."""

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import helpers

TRAIN = [helpers.TINY, "--steps=100", "--batch_size=32", "--schedule=step"]
CASES = {
    "seen by the next line": ["--learning_rate=1e30", "--log_every=5", "--save_every=50"],
    "seen by a save": ["--learning_rate=1e30", "--log_every=60", "--save_every=5"],
    "seen by an evaluation": ["--learning_rate=1e30", "--log_every=60", "--eval_every=5"],
    "after a good checkpoint": ["--learning_rate=1e4", "--log_every=60", "--save_every=1"],
}
# An evaluation looks at the loss in the same line as a save.
SLOW = "seen by an evaluation"
cases = pytest.mark.parametrize(
    "name", [pytest.param(x, marks=pytest.mark.slow) if x == SLOW else x for x in CASES]
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Callable[[str], dict[str, Any]]:
    """How each run ended, and where it was; it runs once."""
    root = tmp_path_factory.mktemp("runs")

    @cache
    def run(name: str) -> dict[str, Any]:
        (done,) = helpers.modules([["train", *TRAIN, *CASES[name], f"--workdir={root}/{name}"]])
        return {**done, "workdir": root / name}

    return run


@cases
def test_a_run_that_diverges_ends_with_one_clear_line(runs, name):
    done = runs(name)
    workdir = done["workdir"]
    assert done["code"] == 1
    assert "Traceback" not in done["stderr"] + done["stdout"]
    (line,) = (line for line in done["stderr"].splitlines() if line.startswith("error"))
    found = re.fullmatch(
        r"error: (.*) at step (\d+), at a learning rate of (.*); newest whole checkpoint: (.*)",
        line,
    )
    assert found, line
    if name == "after a good checkpoint":
        assert re.fullmatch(r"\S+ is not finite", found[1])
    else:  # not the step at which it was seen
        assert found.groups()[:2] == ("the loss became nan", "2")
    assert float(found[3]) == float(CASES[name][0].split("=")[1])
    saved = sorted((workdir / "checkpoints").glob("*"))
    newest = str(saved[-1]) if saved else f"none in {workdir}/checkpoints"
    assert found[4] == newest


@cases
def test_nothing_that_is_no_number_is_written(runs, name):
    workdir = runs(name)["workdir"]
    for file in (workdir / "checkpoints").glob("*"):
        with np.load(file) as archive:
            assert all(np.isfinite(array).all() for array in archive.values())
    metrics = workdir / "metrics.jsonl"
    for line in metrics.read_text().splitlines() if metrics.exists() else []:
        assert all(np.isfinite(x) for x in json.loads(line).values() if not isinstance(x, str))
    assert not list(Path(workdir).rglob("*partial*"))
    assert not (workdir / "final.weights.h5").exists()
    assert not (workdir / "best.weights.h5").exists()


def test_there_is_a_good_checkpoint_to_go_on_from(runs):
    assert list((runs("after a good checkpoint")["workdir"] / "checkpoints").glob("*.npz"))
