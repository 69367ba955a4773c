"""A whole evaluation: what it is of, and all of its parts."""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_resnet import console
from keras_resnet.console import progress
from keras_resnet.manifest import Manifest
from keras_resnet.models.weights_flags import Trained
from keras_resnet.weights.disk import digest
from train.datasets.examples import Examples
from train.measure import parts
from train.measure.measurement import Measured, Measurement
from train.run import interruption
from train.tasks.protocols import Protocol

# Facts of a manifest on which scores depend.
FACTS = ("network", "fields", "labels", "preprocessing", "quantized")


def names(examples: Examples, data_dir: str | None) -> list[str]:
    """Returns the names of all examples, in order: of files, relative to the directory."""
    batches = examples.elements(None).map(examples.name).batch(1024)
    found = [os.fsdecode(name) for batch in batches.as_numpy_iterator() for name in batch]
    root = f"{Path(data_dir or '')}/"
    return [name.removeprefix(root) for name in found]


def identity(
    trained: Sequence[Trained], examples: Examples, names: Iterable[str], protocol: Protocol
) -> dict[str, Any]:
    """Returns what scores depend on, as JSON has it. Files of a data set are known by their names.

    Args:
        trained: the networks.
        examples: what is measured on.
        names: of the examples.
        protocol: what a network sees of an image.
    """
    return {
        "weights": [f"{one.file.name}, SHA-256 {digest(one.file)}" for one in trained],
        "settings": [_facts(one.manifest) for one in trained],
        "protocol": str(protocol),
        "examples": examples.size,
        "names": _hash("\0".join(names)),
        "classes": _hash("\0".join(examples.labels)),
    }


def _facts(manifest: Manifest) -> str:
    values = manifest.to_dict()
    return _hash(json.dumps({name: values[name] for name in FACTS}, sort_keys=True))


def _hash(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:16]


def all_parts(measurement: Measurement, out: Path | None) -> Measured:
    """Measures a split; with a directory only what is not saved there, and saves it.

    Raises:
        TooManyBroken: if more images cannot be decoded than allowed.
        OSError: if a part cannot be saved.
    """
    found = _saved(measurement, out) if out else {}
    done = sum(len(part.labels) for part in found.values())
    size = measurement.examples.size
    if done:
        console.say(f"{done:,} of {size:,} examples were measured before")
    with progress.shown("evaluating", size, "examples", done) as work:
        for first in measurement.parts:
            if first in found:
                continue
            found[first] = measurement.measure(first, work.advance)
            if out:
                parts.save(out, first, found[first])
                done += len(found[first].labels)
                interruption.says(
                    f"stopped after {done:,} of {size:,} examples; the same command goes on from"
                    " there"
                )
    whole = [found[first] for first in measurement.parts]
    return Measured(
        np.concatenate([part.scores for part in whole]),
        np.concatenate([part.labels for part in whole]),
        np.concatenate([part.counts for part in whole]),
    )


def _saved(measurement: Measurement, out: Path) -> dict[int, Measured]:
    """Returns the parts that are saved, by where they begin."""
    found = {}
    for first in measurement.parts:
        part = parts.load(out, first, measurement.shape(first))
        if part:
            found[first] = part
    return found
