"""Resumable state on disk: one file a step, whole or not there.

A checkpoint is an `.npz` archive of arrays with the SHA-256 of its bytes behind it. It holds no
code, and it does not know how many replicas wrote it.
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

FOLDER = "checkpoints"  # in the directory of a run
KEPT = 3
DIGEST_BYTES = 32


class Checkpoints:
    """Saves and restores a network, its optimizer and a few numbers.

    Args:
        directory: where the files `step_00001000.npz` are.
        variables: everything that a step changes, by a name for each group.
    """

    def __init__(self, directory: Path, variables: Mapping[str, list[keras.Variable]]) -> None:
        self.directory = directory
        self._variables = {
            f"{group}/{i:05d}/{_stable(variable.path)}": variable
            for group, members in variables.items()
            for i, variable in enumerate(members)
        }

    def save(self, step: int, numbers: Mapping[str, float], best: int = -1) -> Path:
        """Writes beside the final name, then renames: a crash leaves no half checkpoint.

        The newest are kept, and that of the step which is the best so far.

        Raises:
            OSError: if it cannot be written, such as on a full disk; the others stay.
            FloatingPointError: if there is a number in it that is none.
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
        try:
            _write(final.with_suffix(".partial"), archive.getbuffer())
            final.with_suffix(".partial").replace(final)
        except OSError:
            self._tidy()
            raise
        # Not those of later steps, which were damaged, or the newest whole ones might have to go.
        older = [file for file in self._files() if _step(file) < step]
        for file in older[: 1 - KEPT]:
            if _step(file) != best:
                with suppress(OSError):  # one too many harms no run
                    file.unlink()
        return final

    def _tidy(self) -> None:
        """Removes what crashes have left, whose room may be what the next one needs."""
        for partial in self.directory.glob("step_*.partial"):
            partial.unlink(missing_ok=True)

    def newest(self) -> str:
        """Says where a run would go on."""
        for file in reversed(self._files()):
            with suppress(ValueError):
                _read(file)
                return str(file)
        return f"none in {self.directory}"

    def restore_latest(self) -> tuple[int, dict[str, float]]:
        """Restores the newest whole checkpoint; (0, {}) if there is no file at all.

        Raises:
            ValueError: if a checkpoint is whole but of another network or optimizer, or if there
                are some and all of them are damaged.
        """
        for file in reversed(self._files()):
            try:
                arrays = _read(file)
            except ValueError as error:
                print(f"{error}; trying the one before", flush=True)
                continue
            return _step(file), self._assign(file, arrays)
        if self._files():
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

    def _files(self) -> list[Path]:
        return _files(self.directory)


def steps(directory: Path) -> list[int]:
    """Returns the steps that there are checkpoints of, ascending."""
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
        ValueError: if it is not what was written under this name.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error}") from error
    archive, digest = content[:-DIGEST_BYTES], content[-DIGEST_BYTES:]
    if hashlib.sha256(archive).digest() != digest:
        raise ValueError(f"{file} is damaged")
    with np.load(io.BytesIO(archive), allow_pickle=False) as members:
        arrays = dict(members.items())
    step = int(arrays.pop("step", _step(file)))  # earlier versions said it in the name alone
    if step != _step(file):
        raise ValueError(f"{file} is of step {step}, another file's content")
    return arrays


def _step(file: Path) -> int:
    return int(file.stem.removeprefix("step_"))


def _stable(path: str) -> str:
    """Drops the number that Keras gives a generator of seeds, which counts all of a process."""
    return re.sub(r"^seed_generator_\d+/", "seed_generator/", path)
