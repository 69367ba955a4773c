"""A tiny run on digits, from which weights are made, and how it can be changed."""

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from keras_resnet.manifest import ENTRY
from keras_resnet.weights.catalogue import Card
from tests.support import helpers

COMMIT = "0123456789abcdef0123456789abcdef01234567"
START = {
    "after_step": 0,
    "date": "2026-01-31",
    "commit": COMMIT,
    "changed": False,
    "precision": "float32",
}
STEPS = 60


def tiny_run(workdir: Path) -> Path:
    """Trains ResNet-8 on digits; whatever the state of this checkout, the commit is a known one."""
    size = ["--recipe=digits_resnet20", "--network=resnet8", f"--steps={STEPS}", "--seed=3"]
    rhythm = ["--eval_every=20", "--log_every=20", "--save_every=60"]
    helpers.last_line(helpers.module("train", *size, *rhythm, f"--workdir={workdir}"))
    started(workdir, START)
    return workdir


def started(workdir: Path, *rows: dict[str, Any]) -> None:
    """Says from which commits a run was started."""
    lines = [json.dumps({"hardware": "1 x abacus", **row}) + "\n" for row in rows]
    (workdir / "starts.jsonl").write_text("".join(lines))


def copied(run: Path, to: Path) -> Path:
    return shutil.copytree(run, to, ignore=shutil.ignore_patterns("checkpoints", "tensorboard"))


def restated(run: Path, **changes: Any) -> None:
    """Changes the recipe, the result or other facts in the manifest of a run's weights."""
    file = run / "final.weights.h5"
    with h5py.File(file, "a") as content:
        told = json.loads(bytes(content[ENTRY][()]))
        for name, value in changes.items():
            place = told["training"]["recipe"] if name in told["training"]["recipe"] else told
            place = told["training"] if name in ("changes", "result") else place
            place[name] = value
        del content[ENTRY]
        content[ENTRY] = np.frombuffer(json.dumps(told).encode(), np.uint8)


def faint_logits(run: Path) -> None:
    """Scales the classifier so far down that float16 has no room for its kernel.

    The largest logit stays the largest, and the accuracy in float32 with it.
    """
    with h5py.File(run / "final.weights.h5", "a") as content:
        for layer in content["layers"].values():
            if layer["vars"].attrs.get("name") == "logits":
                for variable in layer["vars"].values():
                    variable[...] = 1e-8 * variable[()]


def arrays(file: Path) -> dict[str, np.ndarray]:
    """Returns all arrays of an HDF5 file by their paths, as they are stored."""
    found = {}
    with h5py.File(file) as content:
        content.visititems(
            lambda name, x: found.update({name: x[()]}) if hasattr(x, "dtype") else None
        )
    return found


CARD = Card(
    network="resnet20",
    fields={},
    dataset="cifar10",
    classes=10,
    recipe="cifar10_resnet20",
    changes={"seed": 1},
    published="test error 8.75 % (Table 6)",
    command="python -m train --recipe=cifar10_resnet20 --seed=1",
    seed=1,
    steps=64_000,
    starts=[
        {**START, "hardware": "1 x abacus"},
        {
            "after_step": 100,
            "date": "2026-02-01",
            "commit": "abc",
            "changed": True,
            "precision": "bfloat16",
            "hardware": "1 x abacus",
        },
    ],
    kernels="float16",
    accuracy=[{"protocol": "this file", "split": "test", "images": 10_000, "top1": 91.5}],
    curve=[[32_000, 9.0, 15.0], [64_000, 1.5, 8.5]],
    curve_split="test",
    bytes=750_000,
    sha256="0" * 64,
)
