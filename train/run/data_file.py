"""What a run keeps of its data in `data.json`, so that it resumes with the same.

Classes and preprocessing stay those of the first start: a mean image is computed once, and the
first weights may be missing later. Which images of a folder are for testing is kept, too.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from keras_resnet.preprocessing import Preprocessing
from train.datasets.examples import Examples
from train.recipes.data import Data
from train.run import files

SHOWN = 3  # names in a message


@dataclass(frozen=True)
class Recorded:
    """The data of a run as it was at its start.

    Attributes:
        labels: the classes, in the order of the logits.
        preprocessing: with the mean image, if it has one.
        splits: for each split its `size`, the `sha256` of its file names and, where the images of
            a folder were held out by name, the `files`.
    """

    labels: tuple[str, ...]
    preprocessing: Preprocessing
    splits: Mapping[str, Mapping[str, Any]]


def recorded(data: Data) -> Recorded:
    splits = {name: _described(examples) for name, examples in data.splits.items()}
    return Recorded(data.labels, data.preprocessing, splits)


def _described(examples: Examples) -> dict[str, Any]:
    digest = hashlib.sha256(b"\0".join(examples.listing)).hexdigest()
    own: dict[str, Any] = {"size": examples.size, "sha256": digest}
    if examples.held_out_by_name:
        own["files"] = [_text(name) for name in examples.listing]
    return own


def _text(name: bytes) -> str:
    return name.decode(errors="backslashreplace")


def write(workdir: Path, data: Data) -> None:
    """Writes the file.

    Raises:
        OSError: if there is no room.
    """
    files.write(workdir / files.DATA, json.dumps(asdict(recorded(data))) + "\n")


def read(workdir: Path) -> Recorded | None:
    """Returns the data that the run in a directory began with; None for runs of earlier versions.

    Raises:
        ValueError: if the file is damaged.
    """
    path = workdir / files.DATA
    if not path.exists():
        return None
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        preprocessing = Preprocessing(**told["preprocessing"])
        return Recorded(tuple(told["labels"]), preprocessing, dict(told["splits"]))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} is not what a run keeps of its data: {error}") from error


def compare(old: Recorded, data: Data) -> list[str]:
    """Returns a line for each split that has changed.

    Raises:
        ValueError: if classes differ, or images that were trained on are for testing now.
    """
    new = recorded(data)
    _check_labels(old.labels, new.labels)
    _check_leaks(old.splits, new.splits)
    lines = []
    for name, now in new.splits.items():
        was = old.splits.get(name, {"size": 0, "sha256": ""})
        if (was["size"], was["sha256"]) != (now["size"], now["sha256"]):
            lines.append(f"the data changed since this run began: {name} {_difference(was, now)}")
    return lines


def _difference(was: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    told = f"had {was['size']:,} images and has {now['size']:,}"
    if was["size"] == now["size"]:
        told = f"has {now['size']:,} images as before, but other ones"
    if "files" not in was or "files" not in now:
        return told
    before = set(was["files"])
    after = set(now["files"])
    return f"{told}; new: {_few(after - before)}; gone: {_few(before - after)}"


def _few(names: set[str]) -> str:
    shown = sorted(names)[:SHOWN]
    more = [f"{len(names) - SHOWN:,} more"] if len(names) > SHOWN else []
    return ", ".join(shown + more) or "none"


def _check_labels(old: Sequence[str], new: Sequence[str]) -> None:
    if tuple(old) == tuple(new):
        return
    raise ValueError(
        f"the classes changed since this run began: new: {_few(set(new) - set(old))}; gone:"
        f" {_few(set(old) - set(new))}; restore them, or choose another workdir"
    )


def _check_leaks(
    old: Mapping[str, Mapping[str, Any]], new: Mapping[str, Mapping[str, Any]]
) -> None:
    trained = set(old["train"].get("files", ()))
    for name, now in new.items():
        leaked = trained & set(now.get("files", ())) if name != "train" else set()
        if leaked:
            raise ValueError(
                f"{len(leaked):,} images that this run has trained on are for {name} now:"
                f" {_few(leaked)}; restore the folder, or choose another workdir"
            )
