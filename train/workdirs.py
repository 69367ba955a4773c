"""The directory of a run: looked at before data is read, and never taken from another run."""

import dataclasses
import tempfile
from pathlib import Path

from train.recipe import Recipe

# A run may go on longer, or look at itself more often, than it was told to at first.
FREE = ("steps", "log_every", "eval_every", "save_every", "max_broken", "source", "expected")
CHUNK = 1 << 20


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
        raise _unwritable(workdir, error) from error
    if path.exists():
        _compare(path, recipe)


def claim(workdir: Path, recipe: Recipe) -> None:
    """Writes `recipe.json` into a directory that was checked, and whose checkpoints fit.

    Raises:
        ValueError: if there is no room for it.
    """
    partial = workdir / "recipe.partial"
    try:
        partial.write_text(recipe.to_json() + "\n")
        partial.replace(workdir / "recipe.json")
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise _unwritable(workdir, error) from error


def _unwritable(workdir: Path, error: OSError) -> ValueError:
    return ValueError(f"cannot write to workdir {str(workdir)!r}: {error}")


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
