"""The results of an experiment: means over seeds beside the papers' numbers, as JSON.

Means and deviations are NumPy's; the deviation is that of a sample (ddof=1), and needs two seeds.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from train.lab import measuring, runs
from train.lab.experiment import Comparison, Experiment, Measure, Published
from train.lab.planned import Place, Planned, Schedule
from train.lab.tables import Summary
from train.run import files, starts

Values = Mapping[int, float]  # by seed


class Outcome(NamedTuple):
    """What is known of an experiment.

    Attributes:
        experiment: what is shown.
        schedule: of all runs.
        planned: all of its runs, with all seeds.
        states: how far each is, in the same order.
        place: where they are.
    """

    experiment: Experiment
    schedule: Schedule
    planned: Sequence[Planned]
    states: Sequence[runs.State]
    place: Place

    @property
    def finished(self) -> list[Planned]:
        pairs = zip(self.planned, self.states, strict=True)
        return [planned for planned, state in pairs if state.finished]

    @property
    def seeds(self) -> list[int]:
        return sorted({planned.seed for planned in self.planned})

    def paper(self, run: str, measure: Measure) -> Published | None:
        """Returns the paper's number, unless it is about other data or another training."""
        return None if self.schedule.changes else self.experiment.paper(run, measure)

    @property
    def name(self) -> str:
        """Of the files of the results."""
        return f"{self.experiment.name}{self.schedule.suffix}"


def outcome(
    experiment: Experiment, schedule: Schedule, planned: Sequence[Planned], place: Place
) -> Outcome:
    """Reads how far the runs are.

    Raises:
        ValueError: if a workdir holds the run of another recipe.
    """
    return Outcome(experiment, schedule, planned, [runs.state(one) for one in planned], place)


def summary(found: Outcome, command: str) -> Summary:
    """Returns all numbers of an experiment, each with what has to be known of it.

    Args:
        found: what is known.
        command: that was given, for people.
    """
    experiment = found.experiment
    rows = [
        _row(found, name, measure) for name in experiment.names for measure in experiment.measures
    ]
    rows += _ensemble_rows(found)
    return {
        "experiment": experiment.name,
        "shows": experiment.shows,
        "note": experiment.note,
        "command": command,
        "schedule": found.schedule.text,
        "full_schedule": found.schedule.full,
        "seeds": found.seeds,
        "complete": all(state.finished for state in found.states) and all(row["n"] for row in rows),
        "rows": rows,
        "comparisons": [_compared(one, rows) for one in experiment.comparisons],
        "runs": [_run(*pair, found) for pair in zip(found.planned, found.states, strict=True)],
    }


def _row(found: Outcome, name: str, measure: Measure) -> dict[str, Any]:
    own = [one for one in found.finished if one.run.name == name]
    measured = {one.seed: runs.value(one, measure) for one in own}
    values = {seed: value for seed, value in measured.items() if value is not None}
    first = next(one for one in found.planned if one.run.name == name)
    published = found.paper(name, measure)
    return {
        "run": name,
        "measure": measure.text,
        "paper": published.said if published else None,
        **statistics(values),
        "trained": len(own),
        "wanted": len(found.seeds),
        "command": first.shown(found.place),
    }


def statistics(values: Values) -> dict[str, Any]:
    """Returns mean, deviation and number of values by seed; None for what they do not give."""
    numbers = list(values.values())
    return {
        "mean": float(np.mean(numbers)) if numbers else None,
        "std": float(np.std(numbers, ddof=1)) if len(numbers) > 1 else None,
        "n": len(numbers),
        "values": {str(seed): value for seed, value in values.items()},
    }


def _ensemble_rows(found: Outcome) -> list[dict[str, Any]]:
    ensemble = found.experiment.ensemble
    if not ensemble:
        return []
    members = measuring.members_of(ensemble, found.finished)
    rows = []
    for measure in ensemble.measures:
        path = measuring.ensemble_file(members, measure.protocol) if members else None
        result = json.loads(path.read_text(encoding="utf-8")) if path and path.exists() else {}
        value = runs.error(result, measure)
        published = found.paper(ensemble.name, measure)
        rows.append(
            {
                "run": f"{ensemble.name} of {', '.join(ensemble.members)}",
                "measure": measure.text,
                "paper": published.said if published else None,
                **statistics({} if value is None else {found.seeds[0]: value}),
                "trained": int(bool(members)),
                "wanted": 1,
                "command": result.get("command", ""),
            }
        )
    return rows


def _compared(comparison: Comparison, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    means = [
        next(
            row["mean"]
            for row in rows
            if (row["run"], row["measure"]) == (name, comparison.measure.text)
        )
        for name in (comparison.lower, comparison.higher)
    ]
    known = None not in means
    return {
        "says": comparison.text,
        "ours": " and ".join(f"{mean:.3g}" for mean in means) if known else None,
        "holds": means[0] < means[1] if known else None,
    }


def _run(planned: Planned, state: runs.State, found: Outcome) -> dict[str, Any]:
    """Returns where the numbers of one run come from."""
    begun = starts.read(planned.workdir)
    result = files.result(planned.workdir) if state.finished else {}
    return {
        "run": planned.run.name,
        "seed": planned.seed,
        "state": state.text,
        "finished": state.finished,
        "result": result,
        "command": planned.shown(found.place),
        "starts": [asdict(start) for start in begun],
    }


def write(values: Mapping[str, Any], path: Path) -> None:
    """Writes a summary as JSON.

    Raises:
        OSError: if there is no room.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, json.dumps(values, indent=1, ensure_ascii=False) + "\n")
