"""Runs that are killed again and again end bit for bit as one that nothing interrupted."""

import json
import signal
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import keras_resnet
from keras_resnet import weights
from keras_resnet.manifest import Manifest
from keras_resnet.preprocessing import Preprocessing
from tests.support import helpers
from tests.support.crashing import Aim

pytestmark = pytest.mark.slow
SHOTS = 50
STEPS = 500
EVAL_EVERY = 50
ARGUMENTS = [
    helpers.TINY,
    "--batch_size=16",
    "--augmentation=shift",
    "--log_every=1",
    f"--eval_every={EVAL_EVERY}",
    "--save_every=7",
    "--deterministic",
]
SAVE = Aim("open", r"step_\d+\.partial")
LINE = Aim("open", "metrics.jsonl")
EVALUATION = Aim("evaluation")


def shoot(folder: Path, arguments: Sequence[str], aims: Sequence[Aim], shots: int) -> Any:
    """Trains in `whole`, then in `killed` through all aims to the end; tells of each life."""
    lives = [("whole", None), *(("killed", aim) for aim in aims), ("killed", None)]
    rows = [(f"{folder}/{name}", list(arguments), aim and asdict(aim)) for name, aim in lives]
    plan = folder / "plan.json"
    plan.write_text(json.dumps({"lives": rows, "shots": shots}))
    done = helpers.module("tests.support.crashing", str(plan))
    assert done.returncode == 0, done.stderr
    return json.loads(plan.with_suffix(".out").read_text())


def arrays(workdir: Path) -> dict[str, np.ndarray]:
    """All arrays of the last and of the best network, and of the last checkpoint."""
    found = {}
    for kind in ("final", "best"):
        with h5py.File(workdir / f"{kind}.weights.h5") as file:
            members = {name: x[()] for name, x in _datasets(file)}
        found |= {f"{kind}/{name}": value for name, value in members.items()}
    with np.load(max((workdir / "checkpoints").glob("*.npz"))) as archive:
        return found | dict(archive.items())


def _datasets(file: h5py.File) -> list[tuple[str, h5py.Dataset]]:
    """Weights, and what the file says of them."""
    found: list[tuple[str, h5py.Dataset]] = []
    file.visititems(lambda name, x: found.append((name, x)) if hasattr(x, "dtype") else None)
    return found


def metrics(workdir: Path) -> list[dict[str, Any]]:
    """What a run tells of itself but for its speed and size; floats to the last bit."""
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [
        {k: v for k, v in e.items() if k not in ("images_per_second", "memory_gib", "data_wait")}
        for e in lines
    ]


def same(workdir: Path, whole: Path, steps: int) -> None:
    """Compares two finished runs. The loss of a step is a digest of its images and labels."""
    actual = arrays(workdir)
    expected = arrays(whole)
    assert set(actual) == set(expected)
    differ = [name for name in expected if actual[name].tobytes() != expected[name].tobytes()]
    assert differ == []
    assert metrics(workdir) == metrics(whole)
    assert [e["step"] for e in metrics(workdir) if e["split"] == "train"] == [*range(1, steps + 1)]
    assert list(workdir.rglob("*partial*")) == []


def training_aims(random: np.random.Generator) -> list[Aim]:
    """Moments before the last step; a run takes some twenty steps between two of them."""

    def after(aim: Aim, count: int, seconds: float, most: int = 3) -> list[Aim]:
        """So many aims, each at most so many seconds after one of the first `most` events."""
        delays = random.uniform(0, seconds, count)
        times = random.integers(1, most + 1, count)
        return [replace(aim, count=int(n), delay=d) for n, d in zip(times, delays, strict=True)]

    aims = after(LINE, 11, 0.02, 25) + after(Aim("start"), 4, 4.0, 1)
    aims += after(SAVE, 8, 0.003) + after(EVALUATION, 5, 0.1, 1)
    aims += after(Aim("os.rename", "step_"), 4, 0)  # written, and not yet renamed
    aims += after(Aim("os.listdir", "checkpoints"), 4, 0)  # renamed, and the old ones still there
    aims += after(Aim("os.remove", "step_"), 2, 0)
    aims += [Aim("publish", "best", delay=d) for d in (0, 0.02)] + [
        Aim("os.rename", "best.weights")
    ]
    aims += [Aim("os.rename", "metrics.partial"), Aim("os.rename", "recipe.partial")]
    return [aims[i] for i in random.permutation(len(aims))]


def final_aims(random: np.random.Generator) -> list[Aim]:
    """Moments after the last step, of a run that has nothing else to do any more."""
    h5 = Aim("publish", r"final\.weights")
    archive = Aim("publish", ".keras")
    aims = [replace(aim, delay=d) for aim in (h5, archive) for d in random.uniform(0, 0.1, 2)]
    aims += [Aim("os.rename", "final.weights.h5"), Aim("os.rename", "final.keras"), LINE]
    aims += [Aim("os.rename", "curves.png.partial"), Aim("os.remove", ".partial.final")]
    return [*aims, replace(EVALUATION, delay=0.05)]


def test_fifty_kills_change_nothing(tmp_path):
    random = np.random.default_rng(0)
    aims = [*training_aims(random), *final_aims(random)]
    aims += [Aim("start", delay=d) for d in random.uniform(0.2, 2, SHOTS)]  # should others miss
    told = shoot(tmp_path, [*ARGUMENTS, f"--steps={STEPS}"], aims, SHOTS)
    dead = [one for one in told if one["code"]]
    assert [one["code"] for one in dead] == [-signal.SIGKILL] * SHOTS
    assert sum("step_" in "".join(one["partial"]) for one in dead) >= 5  # or no save was hit
    assert sum(one["last"]["step"] == STEPS for one in dead) >= 5  # or no final write was
    same(tmp_path / "killed", tmp_path / "whole", STEPS)


def terms(random: np.random.Generator, count: int) -> list[Aim]:
    """SIGTERM while a run trains; how many steps it has taken then is anybody's guess."""
    counts = random.integers(3, 20, count)
    delays = random.uniform(0, 0.02, count)
    pairs = zip(counts, delays, strict=True)
    return [replace(LINE, count=int(n), delay=d, number=signal.SIGTERM) for n, d in pairs]


def test_sigterm_changes_nothing(tmp_path):
    random = np.random.default_rng(1)
    aims = terms(random, 6)
    others = [
        Aim("start", delay=1.0),
        replace(EVALUATION, delay=0.02),
        Aim("publish", r"final\.weights"),
    ]
    aims += [replace(aim, number=signal.SIGTERM) for aim in others]
    told = shoot(tmp_path, [*ARGUMENTS, "--steps=160"], aims, len(aims))
    codes = [one["code"] for one in told[1:-1]]
    assert set(codes) <= {128 + signal.SIGTERM, -signal.SIGTERM}
    assert codes[:6] == [128 + signal.SIGTERM] * 6
    same(tmp_path / "killed", tmp_path / "whole", 160)


def test_signals_change_nothing_on_two_replicas(tmp_path):
    random = np.random.default_rng(2)
    aims = [*terms(random, 3), replace(LINE, count=12), replace(SAVE, count=2, delay=0.001)]
    aims += [replace(EVALUATION, delay=0.02)]
    arguments = [*ARGUMENTS, "--steps=120", "--strategy=mirrored", "--replicas=2"]
    told = shoot(tmp_path, arguments, aims, len(aims))
    assert all(one["code"] for one in told[1:-1])
    same(tmp_path / "killed", tmp_path / "whole", 120)


@pytest.fixture(scope="module")
def start(tmp_path_factory) -> Path:
    """Weights to start from, so that parts of a network may be frozen."""
    file = tmp_path_factory.mktemp("start") / "start.weights.h5"
    fields: dict[str, Any] = {"repeats": [1, 1, 1]}
    model = keras_resnet.resnet("resnet20", input_shape=(8, 8, 1), classes=10, **fields)
    scaling = Preprocessing(image_size=8, crop=1.0)
    labels = tuple("0123456789")
    weights.save(model, file, Manifest("resnet20", (8, 8, 1), labels, scaling, fields))
    return file


FREEZE = ["--init_weights={start}", "--freeze=stem,stage1", "--freeze_steps=25", "--stage_rate=0.5"]
KINDS = {
    "averaged weights": ["--ema=0.9", "--precise_bn=5"],
    "float16": ["--precision=float16"],
    "stochastic depth": ["--field=stochastic_depth=0.3"],
    "frozen parts": FREEZE,
    "warm-up until an error": ["--warmup_error=0.6", "--learning_rate=0.01"],
    "mixed and repeated": ["--mixup=0.2", "--cutmix=1.0", "--repeats=3", "--erasing=0.25"],
    "LAMB": ["--optimizer=lamb", "--micro_batches=2", "--validation=100"],
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kill_changes_nothing_in(tmp_path, start, kind):
    arguments = [*ARGUMENTS, "--steps=60", *(a.format(start=start) for a in KINDS[kind])]
    told = shoot(tmp_path, arguments, [replace(LINE, count=24)], 1)
    assert told[1]["code"] == -signal.SIGKILL
    assert told[1]["saved"] == [7, 14, 21]
    same(tmp_path / "killed", tmp_path / "whole", 60)
