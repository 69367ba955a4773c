"""The directory of a run: looked at before data is read, and never taken from another run."""

import dataclasses
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from train.recipes.recipe import Recipe
from train.run import checkpoints

# A run may go on longer, or look at itself more often, than it was told to at first.
FREE = ("steps", "log_every", "eval_every", "save_every", "max_broken", "source", "expected")
SAID = ("steps", "log_every", "eval_every", "save_every", "max_broken")
RECIPE, CHANGES, METRICS = "recipe.json", "changes.jsonl", "metrics.jsonl"
RESULT = "result.json"  # the last file that a run writes
CHUNK = 1 << 20


def create(workdir: Path) -> None:
    """Creates the directory, or checks that it can be written.

    Raises:
        ValueError: if it cannot.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=workdir):
            pass
    except OSError as error:
        raise _unwritable(workdir, error) from error


def resumed(workdir: Path) -> Recipe | None:
    """Returns the recipe of the run that goes on here; None where a run starts.

    Raises:
        ValueError: if there are checkpoints, and the recipe beside them is damaged.
    """
    path = workdir / RECIPE
    if not path.exists() or not checkpoints.steps(workdir / checkpoints.FOLDER):
        return None
    return _read(path)


def check(workdir: Path, recipe: Recipe) -> None:
    """Checks that the directory is free, or holds a run that this recipe continues.

    Raises:
        ValueError: if it holds the run of another recipe, or one that has gone further.
    """
    path = workdir / RECIPE
    if not path.exists():
        return
    old = _read(path)
    differ = [text for name, text in _changes(old, recipe).items() if name not in FREE]
    if differ:
        raise ValueError(
            f"{workdir} holds a run of another recipe ({'; '.join(differ)}); choose another workdir"
        )
    _check_unfinished(workdir, recipe)
    saved = checkpoints.steps(workdir / checkpoints.FOLDER)
    reached = max(saved, default=0)
    if reached > recipe.steps:
        raise ValueError(
            f"the run in {workdir} has taken {reached} steps of {old.steps}, and --steps="
            f"{recipe.steps} would make its files those of a shorter one: give --steps={reached}"
            " or more, or another workdir"
        )
    if not saved and (workdir / "final.weights.h5").exists():
        raise ValueError(
            f"{workdir} holds a finished run without its checkpoints, which would be overwritten;"
            " choose another workdir"
        )


def _check_unfinished(workdir: Path, recipe: Recipe) -> None:
    """Refuses to begin a finished run again: there is nothing to train, and files to lose."""
    path = workdir / RESULT
    if not path.exists():
        return
    try:
        told = json.loads(path.read_text())
        step, top1 = int(told["step"]), float(told["top1"])
    except (ValueError, TypeError, KeyError):  # cut short: the run has not quite ended
        return
    if step == recipe.steps:
        raise ValueError(
            f"the run in {workdir} is finished: {step} steps, top-1 {top1:.2f} % ({RESULT}); give"
            " more --steps to train on, another workdir to train anew, or measure it again with"
            f" python -m train.evaluate --weights={workdir / 'final.keras'}"
        )


def finish(workdir: Path, step: int, result: Mapping[str, float]) -> None:
    """Writes the result of a run, which is finished then.

    Raises:
        OSError: if there is no room.
    """
    write(workdir / RESULT, json.dumps({"step": step, **result}) + "\n")


def claim(workdir: Path, recipe: Recipe, step: int) -> list[str]:
    """Writes `recipe.json` into a directory that was checked, and whose checkpoints fit.

    What a run is told otherwise from a step on is kept in `changes.jsonl`.

    Returns:
        a line for each such change.

    Raises:
        ValueError: if there is no room.
    """
    path = workdir / RECIPE
    old = _read(path) if step and path.exists() else recipe
    changed = [name for name in SAID if getattr(old, name) != getattr(recipe, name)]
    try:
        if changed:
            values = {name: [getattr(old, name), getattr(recipe, name)] for name in changed}
            with (workdir / CHANGES).open("a") as file:
                file.write(json.dumps({"after_step": step, **values}) + "\n")
        elif not step:
            (workdir / CHANGES).unlink(missing_ok=True)
        write(path, recipe.to_json() + "\n")
    except OSError as error:
        raise _unwritable(workdir, error) from error
    return [
        f"{name} changes from {getattr(old, name)} to {getattr(recipe, name)} after step {step}"
        for name in changed
    ]


def changes(workdir: Path) -> list[dict[str, Any]]:
    """Returns what `claim` has kept: {"after_step": 10, "steps": [10, 20]}, in order."""
    path = workdir / CHANGES
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def write(path: Path, text: str) -> None:
    """Replaces a file as a whole: a crash leaves the old one or the new one.

    Raises:
        OSError: if there is no room; the old one stays.
    """
    partial = path.with_suffix(".partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _unwritable(workdir: Path, error: OSError) -> ValueError:
    return ValueError(f"cannot write to workdir {str(workdir)!r}: {error}")


def _read(path: Path) -> Recipe:
    try:
        return Recipe.from_json(path.read_text())
    except (ValueError, TypeError, OSError) as error:
        raise ValueError(f"{path} is not the recipe of a run: {error}") from error


def _changes(old: Recipe, new: Recipe) -> dict[str, str]:
    """Returns each field that differs, with both values in words."""
    return {
        field.name: f"{field.name}={getattr(old, field.name)!r} there,"
        f" {getattr(new, field.name)!r} now"
        for field in dataclasses.fields(Recipe)
        if getattr(old, field.name) != getattr(new, field.name)
    }


def reserve(workdir: Path, size: int) -> None:
    """Writes at least so many bytes, and frees them again.

    HDF5 takes the whole process down where a disk is full in the middle of a file.

    Raises:
        OSError: if there is no room.
    """
    try:
        with tempfile.TemporaryFile(dir=workdir) as file:
            for _ in range(-(-size // CHUNK)):
                file.write(bytes(CHUNK))
    except OSError as error:
        raise OSError(f"no room for the trained network in {workdir}: {error}") from error
