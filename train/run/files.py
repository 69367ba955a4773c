"""The files of a run: their names in its directory, and how each is replaced as a whole.

Standard library only: `train.curves` reads and writes some of them without Keras.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

RECIPE = "recipe.json"  # what is trained
CHANGES = "changes.jsonl"  # what the run was told differently when it resumed
STARTS = "starts.jsonl"  # from which code and on what it was started
DATA = "data.json"  # classes, preprocessing and splits as they were at the start
LOCK = "lock.json"  # who is writing
METRICS = "metrics.jsonl"
TENSORBOARD = "tensorboard"
CHECKPOINTS = "checkpoints"
BEST = "best.weights.h5"
FINAL_WEIGHTS = "final.weights.h5"
FINAL_MODEL = "final.keras"
CURVES = ("curves.png", "curves.svg")
RESULT = "result.json"  # the last file that a run writes


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Lends a path beside a file; what is written there replaces the file at the end.

    A crash leaves the old file or the new one, and after an error the old one stays.
    """
    partial = path.with_suffix(".partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write(path: Path, text: str) -> None:
    """Replaces a text file as a whole.

    Raises:
        OSError: if there is no room; the old file stays.
    """
    with replaced(path) as partial:
        partial.write_text(text, encoding="utf-8")


def finish(workdir: Path, step: int, result: dict[str, float]) -> None:
    """Writes the result of a run, which is finished then.

    Raises:
        OSError: if there is no room.
    """
    write(workdir / RESULT, json.dumps({"step": step, **result}) + "\n")


def result(workdir: Path) -> dict[str, Any]:
    """Returns the step and the metrics of a finished run; {} if the run has not quite ended."""
    try:
        return dict(json.loads((workdir / RESULT).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def lines(path: Path) -> list[dict[str, Any]]:
    """Returns the entries of a file of JSON lines; none if there is no file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
