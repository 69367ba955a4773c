"""What all tests share: quiet TensorFlow, and the place of real data."""

import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# torchvision and timm are installed beside any Torch; the operators of detection, compiled for one
# version, may be missing then, and their registration would fail. The networks need none of them.
sys.modules.setdefault("torchvision._meta_registrations", ModuleType("absent"))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data; where KERAS_RESNET_DATA is set, a missing file is a failure."""
    place = os.environ.get("KERAS_RESNET_DATA")
    if place is None:
        pytest.skip("set KERAS_RESNET_DATA to the folder of real data")
    return (Path(__file__).parents[1] / place).resolve()
