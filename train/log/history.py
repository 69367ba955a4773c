"""The metrics of runs as curves that can be drawn, read from `metrics.jsonl`."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from train.run import files
from train.tasks.headline import TOP1

HEADLINE = TOP1  # of the only task so far
ERROR = "error (%)"
LOSS = "loss"
RATE = "learning\nrate"
PANELS = (ERROR, LOSS, RATE)
SPLITS = ("validation", "test", "train")
TOO_MUCH = 1e100  # larger values count as infinite: axes need room to compute
MANY = 100  # more training points than this are drawn faintly, with their trend


@dataclass(frozen=True)
class Curve:
    """One quantity of one split of a run.

    Attributes:
        panel: one of PANELS.
        split: one of SPLITS.
        points: [2, n], ascending steps and their values; NaN for what is not finite.
        run: name of the run, or "" if there is only one.
        place: number of the run, from 0.
    """

    panel: str
    split: str
    points: np.ndarray
    run: str = ""
    place: int = 0

    @property
    def name(self) -> str:
        return f"{self.run} {self.split}".strip()

    @property
    def train(self) -> bool:
        return self.split == "train"

    @property
    def noisy(self) -> bool:
        return self.train and self.panel != RATE and self.points.shape[1] > MANY

    @cached_property
    def trend(self) -> np.ndarray:
        """The points or, of a noisy curve, their running median, which keeps sudden steps."""
        if not self.noisy:
            return self.points
        steps, values = self.points
        count = len(steps)
        reach = max(2, count // 100)
        centres = np.unique(np.linspace(0, count - 1, min(count, 1000)).astype(int))
        # The first values fall too fast for whole windows; windows at the end stay whole.
        middles = np.minimum(centres, count - 1 - reach)[:, None]
        windows = values[np.maximum(middles + np.arange(-reach, reach + 1), 0)]
        medians = np.median(np.where(np.isnan(windows), np.inf, windows), axis=1)
        return np.array([steps[centres], np.where(np.isinf(medians), np.nan, medians)])

    @property
    def final(self) -> str:
        return format(self.trend[1, -1], ".2f" if self.panel == ERROR else ".3g")

    @property
    def best(self) -> int | None:
        """Index of the evaluation with the lowest error, if there are several."""
        values = self.points[1]
        judged = self.panel == ERROR and not self.train and len(values) > 1
        return int(np.nanargmin(values)) if judged and np.isfinite(values).any() else None


def read(workdirs: Sequence[Path]) -> tuple[list[Curve], str]:
    """Returns the curves of runs, evaluations before training, and a title for all.

    Raises:
        ValueError: if a run has no metrics, naming the file.
    """
    workdirs = list(dict.fromkeys(workdir.resolve() for workdir in workdirs))
    recipes = [_recipe(workdir) for workdir in workdirs]
    curves = []
    for place, (workdir, run) in enumerate(zip(workdirs, _names(workdirs, recipes), strict=True)):
        for (panel, split), points in _points(workdir / files.METRICS).items():
            curves.append(Curve(panel, split, points, run, place))
    curves.sort(key=lambda curve: (curve.train, curve.place, SPLITS.index(curve.split)))
    return curves, _title(recipes)


def _points(path: Path) -> dict[tuple[str, str], np.ndarray]:
    """Reads the points of each panel and split; lines that a crash has truncated are left out."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise ValueError(f"cannot read the metrics {str(path)!r}: {error}") from error
    found: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
    for line in lines:
        for panel, split, step, value in _values(line):
            found[panel, split][step] = value if abs(value) < TOO_MUCH else np.nan
    if not found:
        raise ValueError(f"{str(path)!r} holds no metrics of {', '.join(SPLITS)}")
    return {key: np.array(sorted(values.items())).T for key, values in found.items()}


def _values(line: str) -> Iterator[tuple[str, str, int, float]]:
    """Yields (panel, split, step, value) for what a line of metrics holds, if it is whole."""
    try:
        entry = json.loads(line, parse_int=float)
        split = entry["split"]
        step = int(entry["step"])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return
    if split not in SPLITS or step < 0:
        return
    values = {
        ERROR: HEADLINE.error(entry, split),
        LOSS: entry.get("loss"),
        RATE: entry.get("learning_rate"),
    }
    for panel, value in values.items():
        if isinstance(value, float):
            yield panel, split, step, value


def _recipe(workdir: Path) -> dict[str, Any]:
    try:
        recipe = dict(json.loads((workdir / files.RECIPE).read_text()))
    except (OSError, ValueError, TypeError):
        recipe = {}
    return {**recipe, "network": str(recipe.get("network") or workdir.name)}


def _names(workdirs: Sequence[Path], recipes: Sequence[dict[str, Any]]) -> list[str]:
    """Returns different names of runs: networks if they differ, else with folders or numbers."""
    networks = [short(recipe["network"], 16) for recipe in recipes]
    pairs = list(zip(networks, workdirs, strict=True))
    ways = (
        [""] if len(pairs) == 1 else networks,
        [f"{network} ({short(path.name, 20)})" for network, path in pairs],
        [f"{network} ({short(f'{path.parent.name}/{path.name}', 20)})" for network, path in pairs],
        [f"{network} ({i})" for i, network in enumerate(networks, 1)],
    )
    return next(names for names in ways if len(set(names)) == len(pairs))


def _title(recipes: Sequence[dict[str, Any]]) -> str:
    """Returns the networks, and data set and batch size where all runs share them."""
    networks = list(dict.fromkeys(recipe["network"] for recipe in recipes))
    title = ", ".join(networks) if len(networks) < 5 else f"{len(networks)} networks"
    for key, text in {"dataset": " on {}", "batch_size": ", batch size {}"}.items():
        values = {str(recipe.get(key)) for recipe in recipes}
        title += text.format(*values) if len(values) == 1 and values != {"None"} else ""
    return short(title, 80)


def short(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length // 2]}…{text[1 - length // 2 :]}"
