"""ResNet-20 on CIFAR-10: any number of replicas and workers, with XLA or without, is one device."""

import itertools
import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from tests.support import helpers

pytestmark = pytest.mark.slow
# One number of replicas in a process, as TensorFlow's collectives have it.
NAMES = [
    [
        f"{norms}-{count}-{xla}"
        for norms, xla in (("synchronized", "off"), ("frozen", "off"), ("frozen", "on"))
    ]
    for count in (1, 2, 4)
]
WORKERS = ["synchronized-workers-off", "frozen-workers-on"]
PORT = 23_950


def run(data: Path, out: Path, names: list[str], tf_config: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "tests/support/replicas.py", str(data), str(out), *names],
        cwd=helpers.ROOT,
        env={**os.environ, "TF_CONFIG": tf_config} if tf_config else None,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(processes: list[subprocess.Popen[str]]) -> None:
    with ExitStack() as stack:
        for process in processes:
            stack.enter_context(process)
            _, errors = process.communicate(timeout=600)
            assert process.returncode == 0, errors


@pytest.fixture(scope="module")
def weights(data_dir, tmp_path_factory) -> dict[str, dict[str, np.ndarray]]:
    out = tmp_path_factory.mktemp("replicas")
    for names in NAMES:
        finish([run(data_dir, out, names)])
    cluster = {"worker": [f"localhost:{PORT + i}" for i in range(2)]}
    tasks = [{"cluster": cluster, "task": {"type": "worker", "index": i}} for i in range(2)]
    finish([run(data_dir, out, WORKERS, json.dumps(task)) for task in tasks])
    return {file.stem: dict(np.load(file)) for file in out.glob("*.npz")}


def difference(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> float:
    """The largest difference of a weight, over the largest weight of its tensor."""
    assert a.keys() == b.keys()
    return max(float(np.abs(a[k] - b[k]).max() / np.abs(b[k]).max()) for k in a)


EQUAL = [
    (name, f"{name.split('-')[0]}-1-off")
    for name in [*itertools.chain(*NAMES), *WORKERS]
    if not name.endswith("1-off")
]


@pytest.mark.parametrize(("name", "one"), EQUAL, ids=[name for name, _ in EQUAL])
def test_twenty_steps_end_at_the_same_weights(weights, name, one):
    found = difference(weights[name], weights[one])
    print(f"{name}: {found:.1e}")
    assert found <= 1e-5


def test_twenty_steps_go_somewhere(weights):
    """Or equal weights would say nothing."""
    assert difference(weights["synchronized-1-off"], weights["frozen-1-off"]) > 1e-3
