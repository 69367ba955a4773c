"""What an experiment is: runs, published numbers, what is drawn, and what is compared.

Standard library only. Errors are in percent.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Metric = Literal["top1", "top5", "train", "response"]
METRICS = {
    "top1": "test error (%)",
    "top5": "top-5 test error (%)",
    "train": "training error (%)",
    "response": "mean layer response",
}
ONE_CROP = "one_crop"  # every run measures itself so at its end
TRAINING = "training"  # the protocol of what is not measured on test images


class Run(NamedTuple):
    """A training of an experiment.

    Attributes:
        name: in tables, in pictures, and of --only.
        recipe: a row of `train.recipes.RECIPES`.
        changes: fields of the recipe that differ.
    """

    name: str
    recipe: str
    changes: Mapping[str, Any] = {}


class Measure(NamedTuple):
    """A number that every run of an experiment gives.

    Attributes:
        metric: "top1" and "top5" are errors on the test split; "train" is the training error, with
            augmentation, at the end; "response" is the mean over layers of Figure 7's deviations.
        protocol: of `python -m train.evaluate`, or TRAINING.
    """

    metric: Metric = "top1"
    protocol: str = ONE_CROP

    @property
    def text(self) -> str:
        crops = "" if self.protocol in (ONE_CROP, TRAINING) else f", {self.protocol}"
        return f"{METRICS[self.metric]}{crops}"


TEST = Measure()
TRAIN = Measure("train", TRAINING)
RESPONSE = Measure("response", TRAINING)


class Published(NamedTuple):
    """A number of a paper.

    Attributes:
        run: whose it is: the name of a run, or of the ensemble.
        value: as the paper's table has it.
        place: where it stands.
        measure: what it is.
        text: as people read it, where that is more than the value.
    """

    run: str
    value: float
    place: str
    measure: Measure = TEST
    text: str = ""

    @property
    def said(self) -> str:
        return f"{self.text or format(self.value, '.2f')} ({self.place})"


class Comparison(NamedTuple):
    """What a paper says of two runs: the first has the lower value.

    Attributes:
        lower: name of a run.
        higher: name of another one.
        measure: of which values are compared.
    """

    lower: str
    higher: str
    measure: Measure = TEST

    @property
    def text(self) -> str:
        return f"{self.measure.text}: {self.lower} < {self.higher}"


class Panel(NamedTuple):
    """A part of a figure.

    Attributes:
        title: above it.
        runs: names of runs whose curves it shows.
    """

    title: str
    runs: tuple[str, ...]


class Ensemble(NamedTuple):
    """Networks whose probabilities are averaged.

    Attributes:
        name: in tables.
        members: names of runs; a name that comes again means the run of the next seed.
        measures: what is measured.
    """

    name: str
    members: tuple[str, ...]
    measures: tuple[Measure, ...]


@dataclass(frozen=True)
class Experiment:
    """What the papers have shown with a few trainings, and how it is shown again.

    Attributes:
        name: on the command line.
        shows: what, and where it stands.
        runs: what is trained.
        panels: of the figure.
        measures: what is measured of each run.
        published: numbers of the papers.
        comparisons: claims of the papers.
        ensemble: of trained networks.
        note: what a reader has to know.

    Raises:
        ValueError: for a name of a run that is used twice, or that does not exist.
    """

    name: str
    shows: str
    runs: tuple[Run, ...]
    panels: tuple[Panel, ...]
    measures: tuple[Measure, ...] = (TEST, TRAIN)
    published: tuple[Published, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    ensemble: Ensemble | None = None
    note: str = ""
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        names = tuple(run.name for run in self.runs)
        object.__setattr__(self, "names", names)
        if len(set(names)) < len(names):
            raise ValueError(f"{self.name}: names of runs must be different, got {names}")
        ensemble = (self.ensemble.name,) if self.ensemble else ()
        named = {published.run for published in self.published} - {*ensemble}
        named |= {name for panel in self.panels for name in panel.runs}
        named |= {name for pair in self.comparisons for name in (pair.lower, pair.higher)}
        named |= {*(self.ensemble.members if self.ensemble else ())}
        if unknown := sorted(named - {*names}):
            raise ValueError(f"{self.name}: no run is named {', '.join(unknown)}; runs: {names}")

    def paper(self, run: str, measure: Measure) -> Published | None:
        """Returns what a paper says of a run; None if it says nothing."""
        found = [one for one in self.published if (one.run, one.measure) == (run, measure)]
        return found[0] if found else None

    def chosen(self, names: tuple[str, ...]) -> tuple[Run, ...]:
        """Returns the runs of these names; all of them without names.

        Raises:
            ValueError: for an unknown name.
        """
        if unknown := [name for name in names if name not in self.names]:
            raise ValueError(
                f"experiment {self.name} has no run {', '.join(unknown)}; allowed:"
                f" {', '.join(self.names)}"
            )
        return tuple(run for run in self.runs if not names or run.name in names)
