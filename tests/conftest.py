"""What tests share: quiet TensorFlow, real data, and subprocesses."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data; where KERAS_RESNET_DATA is set, a missing file is a failure."""
    place = os.environ.get("KERAS_RESNET_DATA")
    if place is None:
        pytest.skip("set KERAS_RESNET_DATA to the folder of real data")
    return (ROOT / place).resolve()


@pytest.fixture
def run() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs Python in a process of its own, from the root of the checkout."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return run
