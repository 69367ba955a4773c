"""What all tests share: quiet TensorFlow, and the place of real data."""

import os
import signal
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

# A shell has what it starts in the background, as CI may do, ignore SIGINT, and so would every
# process that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# XLA takes longer to compile a step than the step takes.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
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


@pytest.fixture(scope="session")
def exported(tmp_path_factory) -> tuple[Path, Any, Any]:
    """What the export's command line makes; the network, and its manifest."""
    from keras_resnet import weights
    from tests.support import exporting, helpers

    model, manifest = exporting.network("resnet20")
    folder = tmp_path_factory.mktemp("exported")
    weights.save(model, folder / "a.keras", manifest)
    out = folder / "digits" / "1"
    done = helpers.module("keras_resnet.export", f"--weights={folder}/a.keras", f"--out={out}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"done: {out}"
    return out, model, manifest
