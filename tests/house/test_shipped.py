"""The weights in the package: sizes, cards, the page about them, and what is installed."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from docs import models
from keras_resnet import weights
from keras_resnet.weights import catalogue
from tests.support.helpers import ROOT
from tests.support.shipping import CARD

FOLDER = ROOT / "keras_resnet" / "weights" / "shipped"


def test_each_file_has_a_card_and_each_card_a_file() -> None:
    assert FOLDER == catalogue.SHIPPED
    cards = {path.relative_to(FOLDER).with_suffix("") for path in FOLDER.glob("*/*.json")}
    files = {path for path in FOLDER.rglob("*") if path.is_file()} - {FOLDER / "README.md"}
    expected = {FOLDER / f"{card}{end}" for card in cards for end in (".json", ".weights.h5")}
    assert files == expected
    for card in catalogue.cards():
        assert Path(card.name) in cards
        assert weights.local(card.dataset, card.network).stat().st_size == card.bytes


def test_files_are_small() -> None:
    sizes = [path.stat().st_size for path in FOLDER.glob("*/*.weights.h5")]
    assert max(sizes, default=0) <= catalogue.MOST_BYTES
    assert sum(sizes) <= catalogue.MOST_BYTES_IN_ALL


def test_cards_say_what_the_files_say() -> None:
    for card in catalogue.cards():
        manifest = weights.read_manifest(catalogue.place(card.dataset, card.network))
        assert manifest
        assert (manifest.network, dict(manifest.fields)) == (card.network, dict(card.fields))
        assert len(manifest.labels) == card.classes
        assert manifest.assumed == {}
        assert manifest.known_preprocessing().mean is not None
        recipe = manifest.training["recipe"]
        assert (recipe["dataset"], recipe["steps"]) == (card.dataset, card.steps)
        assert recipe.items() >= card.changes.items()
        assert all(start["commit"] for start in card.starts)


def test_the_page_is_that_of_the_cards() -> None:
    written = models.PAGE.read_text(encoding="utf-8")
    assert written == models.page(catalogue.cards()), "write it again: python -m docs.models"


def test_the_page_shows_a_card() -> None:
    text = models.page([CARD])
    assert 'keras_resnet.resnet("resnet20", weights="cifar10")' in text
    assert "| resnet20 | cifar10 | 8.50 % | test error 8.75 % (Table 6) | 0.75 MB |" in text
    assert (
        "| from step 100 | commit `abc`, with changed files; bfloat16; 1 x abacus; 2026-02-01 |"
        in text
    )
    assert "| 64,000 | 1.50 | 8.50 |" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(row.endswith(" |") for row in rows)


def test_a_card_is_read_as_it_was_written() -> None:
    text = CARD.to_json()
    assert catalogue.Card.from_json(text).to_json() == text
    with pytest.raises(TypeError, match="missing"):
        catalogue.Card.from_json("{}")


def test_weights_are_installed_with_the_package(tmp_path) -> None:
    """Builds both archives of a package in which weights are, and looks into them."""
    package = tmp_path / "keras_resnet"
    for file in (ROOT / "keras_resnet").rglob("*.py"):
        place = package / file.relative_to(ROOT / "keras_resnet")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(file.read_bytes())
    for name in ("setup.py", "pyproject.toml", "README.md"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    for name in ("imagenet_labels.csv", "py.typed"):
        (package / name).write_bytes((ROOT / "keras_resnet" / name).read_bytes())
    inside = "keras_resnet/weights/shipped/cifar10"
    (tmp_path / inside).mkdir(parents=True)
    expected = {f"{inside}/resnet20.weights.h5", f"{inside}/resnet20.json"}
    for name in expected:
        (tmp_path / name).write_bytes(name.encode())
    command = [sys.executable, "setup.py", "-q", "sdist", "bdist_wheel"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    [wheel] = (tmp_path / "dist").glob("*.whl")
    [source] = (tmp_path / "dist").glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        assert names >= {*expected, "keras_resnet/py.typed", "keras_resnet/imagenet_labels.csv"}
        assert archive.read(f"{inside}/resnet20.json").decode() == f"{inside}/resnet20.json"
        (scripts,) = (name for name in names if name.endswith(".dist-info/entry_points.txt"))
        assert b"keras-resnet = keras_resnet.command.entry:main" in archive.read(scripts)
        assert "keras_resnet/command/predict.py" in names
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        assert names >= expected
