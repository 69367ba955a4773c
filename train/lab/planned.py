"""From the runs of an experiment to recipes, workdirs and commands."""

import dataclasses
import json
import re
import sys
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from train import recipes
from train.lab.experiment import Run
from train.recipes.length import shortened

SAID = ("steps", "log_every", "eval_every", "save_every")  # follow from the number of steps
FLOAT32 = "float32"
Recipe = recipes.Recipe


@dataclass(frozen=True)
class Schedule:
    """What all runs of an experiment have in common, and the papers' do not.

    Attributes:
        steps: of each run; None: as many as its recipe says.
        changes: other fields of each recipe, such as {"dataset": "digits"}.
        precision: of activations, as `python -m train` takes it.
    """

    steps: int | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    precision: str = FLOAT32

    @property
    def full(self) -> bool:
        """Whether runs follow their recipes to the letter, so that the papers' numbers compare."""
        return self.steps is None and not self.changes

    @property
    def suffix(self) -> str:
        """What the names of files and workdirs end with; empty for the full schedule."""
        parts = [f"{self.steps}_steps"] if self.steps else []
        parts += [f"{name}-{value}" for name, value in sorted(self.changes.items())]
        parts += [self.precision] if self.precision != FLOAT32 else []
        return "".join(f"_{_file_name(part)}" for part in parts)

    @property
    def text(self) -> str:
        """For people."""
        words = ["the recipe's schedule"]
        if self.steps:
            words = [f"{self.steps:,} steps, with boundaries and warm-up in proportion"]
        words += [f"{name}={value}" for name, value in sorted(self.changes.items())]
        return ", ".join([*words, self.precision])

    @property
    def flags(self) -> list[str]:
        """Of `python -m train.lab`."""
        steps = [f"--steps={self.steps}"] if self.steps else []
        changes = pair_flags("change", dict(sorted(self.changes.items())))
        return steps + changes + precision_flags(self.precision)

    def recipe(self, run: Run, seed: int) -> Recipe:
        """Returns what a run trains.

        Raises:
            ValueError, TypeError: naming a field, its value and what is allowed.
        """
        changes = {**run.changes, **self.changes, "seed": seed}
        return shortened(recipes.find(run.recipe, **changes), self.steps)


def parsed(changes: Sequence[str]) -> dict[str, Any]:
    """Returns what --change says of fields, whose values are JSON or else text.

    Raises:
        ValueError: for what is not FIELD=VALUE, and for a field that is not a recipe's, or that
            follows from a flag of its own.
    """
    kinds = typing.get_type_hints(Recipe)
    allowed = sorted(
        {*kinds} - {*SAID, "network", "boundaries", "fields", "seed", "source", "expected"}
    )
    found = {}
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals or name not in allowed:
            raise ValueError(
                f"--change must be FIELD=VALUE, got {change!r}; fields: {', '.join(allowed)}"
            )
        found[name] = value if kinds[name] is str else _value(value)
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


class Place(NamedTuple):
    """Where and how runs are trained.

    Attributes:
        workdir: holds a directory for each run.
        data_dir: of the data set; None: that of TensorFlow Datasets.
        flags: further ones of `python -m train`, such as --strategy=mirrored.
    """

    workdir: Path
    data_dir: str | None = None
    flags: tuple[str, ...] = ()


class Planned(NamedTuple):
    """A run with its seed.

    Attributes:
        run: of an experiment.
        seed: of the recipe.
        recipe: what it trains.
        precision: of activations.
        workdir: its own directory.
    """

    run: Run
    seed: int
    recipe: Recipe
    precision: str
    workdir: Path

    def command(self, place: Place) -> list[str]:
        """Returns the module and the flags that train it; the same command resumes it."""
        fields = _flags(self.run.recipe, self.recipe)
        flags = [f"--recipe={self.run.recipe}", *fields, *precision_flags(self.precision)]
        data = [f"--data_dir={place.data_dir}"] if place.data_dir else []
        return ["-m", "train", *flags, *place.flags, *data, f"--workdir={self.workdir}"]

    def shown(self, place: Place) -> str:
        """Returns the command for people, without directories of this machine."""
        data = "…" if place.data_dir else None
        own = self._replace(workdir=Path("…") / self.workdir.name)
        return shown(own.command(place._replace(data_dir=data)))


def planned(
    runs: Sequence[Run], seeds: Sequence[int], schedule: Schedule, workdir: Path
) -> list[Planned]:
    """Returns the runs of all seeds, those of the first seed first.

    A workdir is named by recipe, changes and seed: experiments share runs.

    Raises:
        ValueError, TypeError: if a recipe is invalid.
    """
    found = []
    for seed in seeds:
        for run in runs:
            parts = [run.recipe, *_named(run.changes)]
            name = "_".join(map(_file_name, parts)) + f"{schedule.suffix}_seed{seed}"
            recipe = schedule.recipe(run, seed)
            found.append(Planned(run, seed, recipe, schedule.precision, workdir / name))
    return found


def _named(changes: Mapping[str, Any]) -> list[str]:
    fields = changes.get("fields", {})
    rest = {name: value for name, value in changes.items() if name != "fields"}
    return [f"{name}-{value}" for name, value in {**rest, **fields}.items()]


def _flags(name: str, recipe: Recipe) -> list[str]:
    """Returns the flags that make a row of the table this recipe."""
    row = recipes.RECIPES[name]
    found = []
    for one in dataclasses.fields(Recipe):
        value = getattr(recipe, one.name)
        if value == getattr(row, one.name):
            continue
        if one.name == "fields":
            found += pair_flags("field", value)
        elif isinstance(value, bool):
            found.append(f"--{'' if value else 'no'}{one.name}")
        elif isinstance(value, tuple):
            found.append(f"--{one.name}={','.join(map(str, value))}")
        else:
            found.append(f"--{one.name}={value}")
    return found


def precision_flags(precision: str) -> list[str]:
    """Returns the flag of a precision; none for the usual one."""
    return [f"--precision={precision}"] if precision != FLOAT32 else []


def pair_flags(flag: str, values: Mapping[str, Any]) -> list[str]:
    """Returns flags such as --field=shortcut=C; values other than text are JSON."""
    return [
        f"--{flag}={name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in values.items()
    ]


def shown(arguments: Sequence[str]) -> str:
    """Returns the command of a Python's arguments, for people."""
    return " ".join(["python", *arguments])


def python(arguments: Sequence[str]) -> list[str]:
    """Returns the command of a Python's arguments, for the system."""
    return [sys.executable, *arguments]


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text)
