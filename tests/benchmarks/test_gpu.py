"""The GPU benchmark in small, on a CPU, without TensorFlow; plain JAX and Torch are oracles."""

import json

import numpy as np
import pytest

from tests.support import helpers

SMALL = {
    "dtype": "float32",
    "repeats": "1,1,1,1",
    "batch": 4,
    "size": 32,
    "classes": 10,
    "steps": 1,
    "rounds": 2,
    "matrix": 64,
    "copy": 1,
    "minutes": 60,
}
SLOW = "torch.compile,loop of steps"  # minutes on a CPU
TRAINING = ["library", "library, Keras's normalization", "library, padded stem", "plain JAX"]
INFERENCE = ["library", "library, folded", "plain JAX"]


def run(folder, *flags: str) -> list[dict]:
    """Runs the benchmark where TensorFlow cannot be imported; returns its rows."""
    (folder / "sitecustomize.py").write_text("import sys\nsys.modules['tensorflow'] = None\n")
    given = [f"--{name}={value}" for name, value in SMALL.items()]
    command = ("-m", "benchmarks.gpu", f"--out={folder}", *given, *flags)
    done = helpers.python(*command, KERAS_BACKEND="jax", PYTHONPATH=str(folder))
    assert done.returncode == 0, done.stderr
    lines = (folder / "gpu.jsonl").read_text().splitlines()
    assert [line for line in done.stdout.splitlines() if line.startswith("{")] == lines
    return [json.loads(line) for line in lines]


def firsts(rows: list[dict], kind: str, what: str) -> dict[str, list[float]]:
    start = f"{kind}: "
    return {
        r["what"].removeprefix(start): r[what]
        for r in rows
        if r["what"].startswith(start) and what in r
    }


def agree(found: dict[str, list[float]], names: list[str]) -> None:
    """Compares steps with plain JAX.

    The last stage normalizes four values, which amplifies rounding, and later steps add to it.
    """
    assert sorted(found) == sorted(names)
    for values in found.values():
        np.testing.assert_allclose(values[0], found["plain JAX"][0], rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(values, found["plain JAX"], rtol=0.02, atol=0.03)


def test_contestants_compute_the_same(tmp_path) -> None:
    rows = run(tmp_path, f"--skip={SLOW}")
    assert (rows[0]["device"], rows[0]["platform"]) == ("cpu", "cpu")
    assert not [row for row in rows if "failed" in row or "skipped" in row]
    agree(firsts(rows, "training", "first_losses"), [*TRAINING, "torch eager"])
    agree(firsts(rows, "inference", "first_logits"), INFERENCE)
    for kind, number in (("training", 5), ("inference", 3)):
        rates = json.loads((tmp_path / f"gpu_{kind}.json").read_text())["rates"]
        assert [len(own) for own in rates.values()] == [2] * number
        assert min(min(own) for own in rates.values()) > 0
    assert all(np.isfinite(row["last"]) for row in rows if "last" in row)


def test_a_spent_budget_names_what_it_skips(tmp_path) -> None:
    rows = run(tmp_path, "--minutes=0")
    assert sum("skipped" in row for row in rows) == 11
    assert not list(tmp_path.glob("gpu_*.json"))


@pytest.mark.slow
def test_compiled_contestants_compute_the_same(tmp_path) -> None:
    rows = run(tmp_path, "--skip=padded,normalization,eager,folded")
    names = ["library", "library, loop of steps", "plain JAX", "torch.compile"]
    agree(firsts(rows, "training", "first_losses"), names)
    agree(firsts(rows, "inference", "first_logits"), ["library", "plain JAX", "torch.compile"])
