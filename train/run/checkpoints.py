"""Resumable state on disk: one file per saved step, written as a whole or not at all.

A checkpoint is an `.npz` archive of arrays, followed by the SHA-256 of its bytes. It holds no code,
and it does not depend on how many replicas wrote it.
"""

import hashlib
import io
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import keras
import numpy as np

from train.run import files

KEPT = 3  # newest checkpoints, beside the one of the best network
DIGEST_BYTES = 32


class Checkpoints:
    """Saves and restores a network, its optimizer and a few numbers.

    Args:
        directory: where the files `step_00001000.npz` are.
        variables: everything that a step changes; the keys name groups.
    """

    def __init__(self, directory: Path, variables: Mapping[str, list[keras.Variable]]) -> None:
        self.directory = directory
        self._variables = {
            f"{group}/{i:05d}/{_stable(variable.path)}": variable
            for group, members in variables.items()
            for i, variable in enumerate(members)
        }

    def save(self, step: int, numbers: Mapping[str, float], best: int = -1) -> Path:
        """Writes a checkpoint, and removes old ones; a crash leaves no half checkpoint.

        Args:
            step: number of steps taken.
            numbers: saved beside the variables.
            best: step of the best network so far, whose checkpoint is kept; -1 for none.

        Returns:
            The file.

        Raises:
            OSError: if it cannot be written, such as on a full disk; the others stay.
            FloatingPointError: if a number is NaN or infinite.
        """
        arrays: dict[str, Any] = {
            name: np.asarray(variable) for name, variable in self._variables.items()
        }
        for name, array in arrays.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise FloatingPointError(f"{name} is not finite")
        arrays |= {f"number/{name}": np.float64(value) for name, value in numbers.items()}
        final = self.directory / f"step_{step:08d}.npz"
        archive = io.BytesIO()
        np.savez(archive, **arrays, step=np.int64(step))
        self.directory.mkdir(parents=True, exist_ok=True)
        self._tidy()
        with files.replaced(final) as partial:
            _write(partial, archive.getbuffer())
        # Checkpoints of later steps are damaged ones; they must not push out the newest whole ones.
        older = [file for file in _files(self.directory) if _step(file) < step]
        for file in older[: 1 - KEPT]:
            if _step(file) != best:
                with suppress(OSError):  # one checkpoint too many harms no run
                    file.unlink()
        return final

    def _tidy(self) -> None:
        """Removes what crashes have left: the next checkpoint may need the room."""
        for partial in self.directory.glob("step_*.partial"):
            partial.unlink(missing_ok=True)

    def newest(self) -> str:
        """Returns the path of the newest whole checkpoint, or words that say there is none."""
        for file in reversed(_files(self.directory)):
            with suppress(ValueError):
                _read(file)
                return str(file)
        return f"none in {self.directory}"

    def restore_latest(self) -> tuple[int, dict[str, float]]:
        """Restores the newest whole checkpoint.

        Returns:
            Its step and its numbers; (0, {}) if there is no checkpoint.

        Raises:
            ValueError: if a checkpoint is whole but of another network or optimizer, or if all
                checkpoints are damaged.
        """
        for file in reversed(_files(self.directory)):
            try:
                arrays = _read(file)
            except ValueError as error:
                print(f"{error}; trying the one before", flush=True)
                continue
            return _step(file), self._assign(file, arrays)
        if _files(self.directory):
            raise ValueError(
                f"no checkpoint in {self.directory} is whole; to start from the first step again,"
                " move them away or choose another workdir"
            )
        return 0, {}

    def _assign(self, file: Path, arrays: dict[str, Any]) -> dict[str, float]:
        prefix = "number/"
        numbers = {
            name.removeprefix(prefix): float(arrays.pop(name))
            for name in list(arrays)
            if name.startswith(prefix)
        }
        shapes = {name: tuple(variable.shape) for name, variable in self._variables.items()}
        found = {name: array.shape for name, array in arrays.items()}
        if found != shapes:
            differ = sorted(set(found.items()) ^ set(shapes.items()))[:4]
            raise ValueError(f"{file} is a checkpoint of another training; they differ in {differ}")
        for name, variable in self._variables.items():
            variable.assign(arrays[name])
        return numbers


def steps(directory: Path) -> list[int]:
    """Returns the steps of all checkpoints in a directory, ascending; damaged ones count, too."""
    return [_step(file) for file in _files(directory)]


def _files(directory: Path) -> list[Path]:
    if not directory.is_dir():
        return []
    return sorted(f for f in directory.iterdir() if re.fullmatch(r"step_\d{8}\.npz", f.name))


def _write(file: Path, archive: memoryview) -> None:
    with file.open("wb") as stream:
        stream.write(archive)
        stream.write(hashlib.sha256(archive).digest())
        stream.flush()
        os.fsync(stream.fileno())


def _read(file: Path) -> dict[str, Any]:
    """Returns the arrays of a checkpoint.

    Raises:
        ValueError: if the content is not what was written under this name.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error}") from error
    archive = content[:-DIGEST_BYTES]
    digest = content[-DIGEST_BYTES:]
    if hashlib.sha256(archive).digest() != digest:
        raise ValueError(f"{file} is damaged")
    with np.load(io.BytesIO(archive), allow_pickle=False) as members:
        arrays = dict(members.items())
    step = int(arrays.pop("step", _step(file)))  # earlier versions said it only in the name
    if step != _step(file):
        raise ValueError(f"{file} is of step {step}, another file's content")
    return arrays


def _step(file: Path) -> int:
    return int(file.stem.removeprefix("step_"))


def _stable(path: str) -> str:
    """Drops the number of a seed generator, by which Keras counts all of a process."""
    return re.sub(r"^seed_generator_\d+/", "seed_generator/", path)
