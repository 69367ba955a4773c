"""What the tests of weights by name share: a finished run, and the weights made of it."""

from pathlib import Path

import pytest

from keras_resnet.weights import catalogue
from tests.support import shipping
from train import datasets
from train.lab import finished, ship
from train.run import starts


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Path:
    return shipping.tiny_run(tmp_path_factory.mktemp("tiny") / "run")


@pytest.fixture(scope="session")
def folder(run, tmp_path_factory) -> Path:
    """A folder with the weights digits/resnet8 and their card."""
    place = tmp_path_factory.mktemp("shipped")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue, "SHIPPED", place)
        test = datasets.load("digits", "test", None)
        ship.ship(finished.read(run), starts.read(run), test, "float16")
    return place


@pytest.fixture
def shipped(folder, monkeypatch) -> Path:
    """The same folder, in which weights by name are looked for."""
    monkeypatch.setattr(catalogue, "SHIPPED", folder)
    return folder
