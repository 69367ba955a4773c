"""The parts of an evaluation on disk: a killed one goes on from the last part that was saved."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_resnet import console
from train.measure.measurement import Measured
from train.run import files

IDENTITY = "evaluation.json"  # what is measured; a directory holds one evaluation
FOLDER = "parts"


def claim(out: Path, identity: Mapping[str, Any]) -> None:
    """Makes the directory that of an evaluation, or checks that it is already.

    Args:
        out: the directory, which may exist.
        identity: what scores depend on, as JSON has it.

    Raises:
        ValueError: if it is finished, if it is that of something else, naming what differs, or if
            it cannot be written.
    """
    if (out / files.RESULT).exists():
        raise ValueError(
            f"the evaluation in {out} is finished ({files.RESULT}); choose another --out"
        )
    path = out / IDENTITY
    own = json.loads(json.dumps(identity))
    if path.exists():
        _compare(path, own)
        return
    if out.exists() and any(entry.name != files.LOCK for entry in out.iterdir()):
        raise ValueError(f"{out} holds other files; choose another --out")
    files.write(path, json.dumps(own, indent=1) + "\n")


def _compare(path: Path, own: Mapping[str, Any]) -> None:
    try:
        old = json.loads(path.read_text(encoding="utf-8"))
        differ = [
            f"{name} {old.get(name)!r} there, {own.get(name)!r} now"
            for name in sorted({*old, *own})
            if old.get(name) != own.get(name)
        ]
    except (ValueError, AttributeError, OSError) as error:
        raise ValueError(f"{path} does not say what is measured: {error}") from error
    if differ:
        raise ValueError(
            f"{path.parent} holds another evaluation ({'; '.join(differ)}); choose another --out"
        )


def save(out: Path, first: int, part: Measured) -> None:
    """Writes a part, as a whole or not at all.

    Raises:
        OSError: if there is no room.
    """
    path = _path(out, first)
    path.parent.mkdir(exist_ok=True)
    with files.replaced(path) as partial, partial.open("wb") as stream:
        np.savez(stream, scores=part.scores, labels=part.labels, counts=part.counts)


def load(out: Path, first: int, shape: tuple[int, int]) -> Measured | None:
    """Returns a part that was saved; None if there is none, or it is damaged, which is printed.

    Args:
        out: the directory.
        first: where the part begins.
        shape: number of examples, and of classes.
    """
    path = _path(out, first)
    if not path.exists():
        return None
    try:
        with path.open("rb") as stream, np.load(stream) as held:
            part = Measured(held["scores"], held["labels"], held["counts"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        console.say(f"{path} is damaged ({error}) and is measured again")
        return None
    if (part.scores.shape, part.labels.shape, part.counts.shape) != (shape, shape[:1], shape[:1]):
        console.say(f"{path} is of another size and is measured again")
        return None
    return part


def remove(out: Path) -> None:
    """Removes all parts."""
    for path in (out / FOLDER).glob("*.npz"):
        path.unlink()
    if (out / FOLDER).exists():
        (out / FOLDER).rmdir()


def _path(out: Path, first: int) -> Path:
    return out / FOLDER / f"{first:08d}.npz"
