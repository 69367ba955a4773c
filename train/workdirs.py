"""The directory of a run: looked at before data is read, and never taken from another run."""

import dataclasses
import tempfile
from pathlib import Path

from train.recipe import Recipe

# A run may go on longer, or look at itself more often, than it was told to at first.
FREE = ("steps", "log_every", "eval_every", "save_every", "max_broken", "source", "expected")


def check(workdir: Path, recipe: Recipe) -> None:
    """Creates the directory, or checks that it is this recipe's.

    Raises:
        ValueError: if the directory cannot be written or holds the run of another recipe.
    """
    path = workdir / "recipe.json"
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=workdir):
            pass
    except OSError as error:
        raise ValueError(f"cannot write to workdir {str(workdir)!r}: {error}") from error
    if path.exists():
        _compare(path, recipe)


def claim(workdir: Path, recipe: Recipe) -> None:
    """Writes `recipe.json` into a directory that was checked."""
    partial = workdir / "recipe.partial"
    partial.write_text(recipe.to_json() + "\n")
    partial.replace(workdir / "recipe.json")


def _compare(path: Path, recipe: Recipe) -> None:
    try:
        old = Recipe.from_json(path.read_text())
    except (ValueError, TypeError, OSError) as error:
        raise ValueError(f"{path} is not the recipe of a run: {error}") from error
    differ = [
        f"{field.name}={getattr(old, field.name)!r} there, {getattr(recipe, field.name)!r} now"
        for field in dataclasses.fields(Recipe)
        if field.name not in FREE and getattr(old, field.name) != getattr(recipe, field.name)
    ]
    if differ:
        raise ValueError(
            f"{path.parent} holds a run of another recipe ({'; '.join(differ)}); choose another"
            " workdir"
        )
