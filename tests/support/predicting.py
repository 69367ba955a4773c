"""What `keras-resnet predict` says, as tests compare it."""

import csv
import io
from pathlib import Path

import numpy as np

from tests.support import helpers


def rows(weights: object, *words: object) -> list[dict[str, str]]:
    """Returns the rows of `predict --csv`, which must succeed."""
    given = [f"--weights={weights}", "--csv", *map(str, words)]
    done = helpers.module("keras_resnet", "predict", *given)
    assert done.returncode == 0, done.stderr
    return list(csv.DictReader(io.StringIO(done.stdout)))


def accuracy(weights: object, examples: Path) -> tuple[int, float]:
    """Returns the number of images of an archive, and the percentage that is classified right."""
    found = [int(row["class"]) for row in rows(weights, "--top=1", examples)]
    with np.load(examples) as archive:
        return len(found), 100 * float(np.mean(np.array(found) == archive["labels"]))
