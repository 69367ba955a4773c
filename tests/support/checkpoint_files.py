"""Checkpoints of a run whose weights hold the step at which they were saved."""

from pathlib import Path

import keras
import numpy as np

from train.run.checkpoints import Checkpoints

NUMBERS = {"error": 0.25, "warm": 1.0}


def variables(size: int = 5) -> list[keras.Variable]:
    values = np.random.default_rng(0).normal(size=(size, 3))
    return [keras.Variable(values, name="kernel"), keras.Variable(7, dtype="int64", name="count")]


def checkpoints(folder: Path, size: int = 5) -> tuple[Checkpoints, list[keras.Variable]]:
    own = variables(size)
    return Checkpoints(folder, {"model": own, "optimizer": [keras.Variable(0.5, name="v")]}), own


def save(folder: Path, *steps: int) -> list[np.ndarray]:
    """Saves the variables after each step, at which the first holds the step; returns the last."""
    writer, own = checkpoints(folder)
    for step in steps:
        own[0].assign(np.full((5, 3), step) + np.arange(3) / 3)
        writer.save(step, {**NUMBERS, "error": step / 100})
    return [np.asarray(v) for v in own]


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() if p.is_file() else b"" for p in folder.iterdir()}


def restored(folder: Path) -> str:
    """Says what is wrong with what a run restores; nothing if it is what was saved."""
    reader, own = checkpoints(folder)
    try:
        step, numbers = reader.restore_latest()
    except Exception as error:
        return repr(error)
    if not np.array_equal(own[0], np.full((5, 3), step) + np.arange(3) / 3):
        return f"other weights at step {step}"
    return "" if numbers == {"error": step / 100, "warm": 1.0} else f"{numbers} at step {step}"
