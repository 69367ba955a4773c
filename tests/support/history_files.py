"""Workdirs with the metrics of runs that never were: `metrics.jsonl` and `recipe.json`."""

import json
from pathlib import Path
from typing import Any

import numpy as np

RECIPE = {"network": "resnet20", "dataset": "digits", "batch_size": 64}


def train(step: int, loss: float = 0.5, accuracy: float = 0.75, rate: float = 0.1) -> dict:
    scores = {"loss": loss, "accuracy": accuracy, "learning_rate": rate}
    return {"step": step, "split": "train", **scores, "images_per_second": 1e3}


def measure(step: int, top1: float, loss: float = 0.7, split: str = "test") -> dict:
    return {"step": step, "split": split, "top1": top1, "top5": 99.0, "loss": loss, "examples": 9.0}


def write(folder: Path, lines: list[Any], **recipe: Any) -> Path:
    """Writes a workdir; lines that are no strings are written as the journal does."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (folder / "metrics.jsonl").write_text("\n".join(texts))
    (folder / "recipe.json").write_text(json.dumps({**RECIPE, **recipe}))
    return folder


def cifar(folder: Path, network: str, floor: float = 8.0, split: str = "test") -> Path:
    """A run of 64,000 steps whose rate drops twice; the last evaluation is of the test images."""
    random = np.random.default_rng(0)
    lines = []
    for step in range(100, 64_001, 100):
        level = [10.0, 3.0, 1.0][(step > 32_000) + (step > 48_000)] + 80 * 2 ** (-step / 2000)
        error = level * random.uniform(0.9, 1.1)
        rate = [0.1, 0.01, 0.001][(step > 32_000) + (step > 48_000)]
        lines.append(train(step, error / 30, 1 - error / 100, rate))
        if step % 1000 == 0:
            place = "test" if step == 64_000 else split
            lines.append(measure(step, 100 - min(90.0, level + floor), 0.3 + level / 50, place))
    return write(folder, lines, network=network, dataset="cifar10", batch_size=128)
