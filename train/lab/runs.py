"""What is known of a run from the files in its workdir."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from train.lab.experiment import ONE_CROP, RESPONSE, TRAIN, Measure
from train.lab.planned import Planned
from train.log import history
from train.run import files, workdirs

ROOT = Path(__file__).parents[2]
OUTPUT = "output.log"  # what its processes printed
RESPONSES = "responses.json"


class State(NamedTuple):
    """How far a run is.

    Attributes:
        step: the last one of which it has written metrics.
        steps: of its recipe.
        finished: whether all of its files are there.
    """

    step: int
    steps: int
    finished: bool

    @property
    def text(self) -> str:
        if self.finished:
            return "finished"
        return f"step {self.step:,} of {self.steps:,}" if self.step else "not begun"


def state(planned: Planned) -> State:
    """Returns how far a run is.

    Raises:
        ValueError: if its workdir holds the run of another recipe.
    """
    finished = workdirs.finished(planned.workdir, planned.recipe)
    reached = planned.recipe.steps if finished else last_step(planned.workdir)
    return State(reached, planned.recipe.steps, finished)


def last_step(workdir: Path) -> int:
    """Returns the last step of which there are metrics; 0 if there are none."""
    return max((int(curve.points[0, -1]) for curve in errors(workdir).values()), default=0)


def errors(workdir: Path) -> dict[str, history.Curve]:
    """Returns the curves of errors in percent, by split; {} for a run without metrics."""
    if not (workdir / files.METRICS).exists():
        return {}
    try:
        curves, _ = history.read([workdir])
    except ValueError:  # it has begun, and written no line yet
        return {}
    return {curve.split: curve for curve in curves if curve.panel == history.ERROR}


def images_per_second(workdir: Path) -> float | None:
    """Returns the median over the progress lines of a run; None if there are none."""
    path = workdir / files.METRICS
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    # Not as JSON: a crash may have truncated the last line.
    rates = re.findall(r'"images_per_second": ([\d.]+)[,}]', text)
    return float(np.median([float(rate) for rate in rates])) if rates else None


def value(planned: Planned, measure: Measure) -> float | None:
    """Returns a number of a finished run; None if it is not measured.

    Errors are in percent. The training error is the median of the last lines of metrics.
    """
    if measure == RESPONSE:
        found = responses(planned.workdir)
        return float(np.mean(list(found.values()))) if found else None
    if measure == TRAIN:
        curve = errors(planned.workdir).get("train")
        return float(curve.trend[1, -1]) if curve else None
    return error(measured(planned.workdir, measure.protocol), measure)


def error(result: Mapping[str, Any], measure: Measure) -> float | None:
    """Returns the error in percent that the metrics of an evaluation hold."""
    return 100 - result[measure.metric] if measure.metric in result else None


def measured(workdir: Path, protocol: str) -> dict[str, Any]:
    """Returns the metrics of a trained network by a protocol; {} if it is not measured so."""
    if protocol == ONE_CROP:
        return files.result(workdir)
    return _json(workdir / f"{protocol}.json")


def responses(workdir: Path) -> dict[str, float]:
    """Returns the deviation of each layer's response, in order; {} if it is not measured."""
    return _json(workdir / RESPONSES)


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
