"""The directory of a run: checked before data is read, and never taken from another run."""

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any

from train.recipes.recipe import Recipe
from train.run import checkpoints, files
from train.tasks.headline import Headline

# Fields that may change when a run resumes; changes of the first ones are reported.
SAID = ("steps", "log_every", "eval_every", "save_every", "max_broken")
FREE = (*SAID, "source", "expected")
CHUNK = 1 << 20


def create(workdir: Path) -> None:
    """Creates the directory, or checks that it can be written.

    Raises:
        ValueError: if it cannot be written.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=workdir):
            pass
    except OSError as error:
        raise _unwritable(workdir, error) from error


def resumed(workdir: Path) -> Recipe | None:
    """Returns the recipe of the run that would resume here; None where a run would start.

    Raises:
        ValueError: if there are checkpoints, and the recipe beside them is damaged.
    """
    path = workdir / files.RECIPE
    if not path.exists() or not checkpoints.steps(workdir / files.CHECKPOINTS):
        return None
    return _read(path)


def check(workdir: Path, recipe: Recipe, headline: Headline) -> None:
    """Checks that the directory is free, or holds a run that this recipe continues.

    Args:
        workdir: the directory.
        recipe: of the run that is to start or resume.
        headline: the metric of a finished run that a message names.

    Raises:
        ValueError: if it holds the run of another recipe, or one that has gone further.
    """
    path = workdir / files.RECIPE
    if not path.exists():
        return
    old = _read(path)
    _check_same(workdir, old, recipe, FREE)
    _check_unfinished(workdir, recipe.steps, headline)
    saved = checkpoints.steps(workdir / files.CHECKPOINTS)
    reached = max(saved, default=0)
    if reached > recipe.steps:
        raise ValueError(
            f"the run in {workdir} has taken {reached} steps of {old.steps}, and --steps="
            f"{recipe.steps} would make its files those of a shorter one: give --steps={reached}"
            " or more, or another workdir"
        )
    if not saved and (workdir / files.FINAL_WEIGHTS).exists():
        raise ValueError(
            f"{workdir} holds a finished run without its checkpoints, which would be overwritten;"
            " choose another workdir"
        )


def finished(workdir: Path, recipe: Recipe) -> bool:
    """Returns whether the directory holds the whole run of a recipe; its weights may be elsewhere.

    Raises:
        ValueError: if it holds the run of another recipe, also one of another number of steps.
    """
    path = workdir / files.RECIPE
    if not path.exists():
        return False
    _check_same(workdir, _read(path), recipe, tuple(name for name in FREE if name != "steps"))
    return files.result(workdir).get("step") == recipe.steps


def _check_same(workdir: Path, old: Recipe, new: Recipe, free: tuple[str, ...]) -> None:
    """Raises a ValueError if recipes differ in fields that may not change."""
    differ = [text for name, text in _changes(old, new).items() if name not in free]
    if differ:
        raise ValueError(
            f"{workdir} holds a run of another recipe ({'; '.join(differ)}); choose another workdir"
        )


def _check_unfinished(workdir: Path, steps: int, headline: Headline) -> None:
    """Refuses to start a finished run again, which would only overwrite its files."""
    path = workdir / files.RESULT
    if not path.exists():
        return
    try:
        told = json.loads(path.read_text())
        step = int(told["step"])
        reached = headline.said(float(told[headline.name]))
    except (ValueError, TypeError, KeyError):  # truncated: the run has not quite ended
        return
    if step == steps:
        raise ValueError(
            f"the run in {workdir} is finished: {step} steps, {reached} ({files.RESULT}); give"
            " more --steps to train on, another workdir to train anew, or measure it again with"
            f" python -m train.evaluate --weights={workdir / files.FINAL_MODEL}"
        )


def claim(workdir: Path, recipe: Recipe, step: int) -> list[str]:
    """Writes `recipe.json` into a directory that was checked, and whose checkpoints fit.

    Fields that a resumed run changes are kept in `changes.jsonl`.

    Args:
        workdir: the directory.
        recipe: of the run that starts or resumes.
        step: number of steps that are already taken.

    Returns:
        A line for each change.

    Raises:
        ValueError: if there is no room.
    """
    path = workdir / files.RECIPE
    old = _read(path) if step and path.exists() else recipe
    changed = [name for name in SAID if getattr(old, name) != getattr(recipe, name)]
    try:
        if changed:
            values = {name: [getattr(old, name), getattr(recipe, name)] for name in changed}
            with (workdir / files.CHANGES).open("a") as file:
                file.write(json.dumps({"after_step": step, **values}) + "\n")
        elif not step:
            (workdir / files.CHANGES).unlink(missing_ok=True)
        files.write(path, recipe.to_json() + "\n")
    except OSError as error:
        raise _unwritable(workdir, error) from error
    return [
        f"{name} changes from {getattr(old, name)} to {getattr(recipe, name)} after step {step}"
        for name in changed
    ]


def changes(workdir: Path) -> list[dict[str, Any]]:
    """Returns what `claim` has kept, in order, such as {"after_step": 10, "steps": [10, 20]}."""
    return files.lines(workdir / files.CHANGES)


def _unwritable(workdir: Path, error: OSError) -> ValueError:
    return ValueError(f"cannot write to workdir {str(workdir)!r}: {error}")


def _read(path: Path) -> Recipe:
    try:
        return Recipe.from_json(path.read_text())
    except (ValueError, TypeError, OSError) as error:
        raise ValueError(f"{path} is not the recipe of a run: {error}") from error


def _changes(old: Recipe, new: Recipe) -> dict[str, str]:
    """Returns a text for each field that differs, with both values."""
    return {
        field.name: f"{field.name}={getattr(old, field.name)!r} there,"
        f" {getattr(new, field.name)!r} now"
        for field in dataclasses.fields(Recipe)
        if getattr(old, field.name) != getattr(new, field.name)
    }


def reserve(workdir: Path, size: int) -> None:
    """Writes so many bytes and frees them again, to know that there is room.

    HDF5 ends the whole process if a disk becomes full in the middle of a file.

    Raises:
        OSError: if there is no room.
    """
    try:
        with tempfile.TemporaryFile(dir=workdir) as file:
            for _ in range(-(-size // CHUNK)):
                file.write(bytes(CHUNK))
    except OSError as error:
        raise OSError(f"no room for the trained network in {workdir}: {error}") from error
