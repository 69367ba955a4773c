"""What all tests share: quiet TensorFlow, and the place of real data."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data; where KERAS_RESNET_DATA is set, a missing file is a failure."""
    place = os.environ.get("KERAS_RESNET_DATA")
    if place is None:
        pytest.skip("set KERAS_RESNET_DATA to the folder of real data")
    return (Path(__file__).parents[1] / place).resolve()
