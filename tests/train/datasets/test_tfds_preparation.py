"""A set that TFDS cannot prepare is refused within seconds, and nothing of the attempt is left."""

import shutil
import socket
import time
from pathlib import Path

import pytest
import tensorflow_datasets as tfds

from tests.support import helpers
from train import datasets
from train.datasets.tfds import opened
from train.recipes.data import open_data


class Unreachable(tfds.core.GeneratorBasedBuilder):
    """A set whose files are at an address where nobody answers."""

    VERSION = tfds.core.Version("1.2.3")
    ADDRESS = "http://127.0.0.1:9/images.tar.gz"

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(8, 8, 3)),
            "label": tfds.features.ClassLabel(num_classes=2),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(dl_manager.download_and_extract(self.ADDRESS))}

    def _generate_examples(self, path):
        yield from ()


class Failing(Unreachable):
    """A set whose files are there, and whose code fails after a few examples."""

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(None)}

    def _generate_examples(self, path):
        yield from enumerate({"image": x, "label": 0} for x in helpers.noise(3, 8, 8, 3))
        raise RuntimeError("bad archive\nand a long explanation")


def everything(root: Path) -> set[Path]:
    return set(root.rglob("*"))


BEFORE = [
    "downloads/other/a.zip",
    "downloads/extracted/x/y/z.png",
    "unreachable/note.txt",
    "downloads/manual/mine.tar",
]


@pytest.fixture(params=["empty", "used"])
def place(request, tmp_path) -> Path:
    for name in BEFORE if request.param == "used" else ():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("keep me")
    return tmp_path


REASONS = {
    "unreachable": r"unreachable 1\.2\.3 is not prepared in .*: 127\.0\.0\.1 cannot be reached; ",
    "failing": r"failing 1\.2\.3 is not prepared in .*: bad archive; ",
}


@pytest.mark.parametrize("name", REASONS)
def test_a_failed_preparation_leaves_nothing_behind(place, name):
    before = everything(place)
    start = time.monotonic()
    with pytest.raises(ValueError, match=REASONS[name]):
        datasets.load(name, "train", str(place))
    assert time.monotonic() - start < 10
    assert everything(place) == before


def test_the_own_place_of_tfds_is_not_made_in_vain(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path / "home" / "sets"))
    (tmp_path / "home").mkdir()
    with pytest.raises(ValueError, match=f"not prepared in {tmp_path}/home/sets/unreachable"):
        opened.__wrapped__("unreachable")
    assert everything(tmp_path) == {tmp_path / "home"}


def test_a_complete_download_is_kept(tmp_path, monkeypatch):
    """Of several files: another attempt need not fetch it again."""
    monkeypatch.setattr(Unreachable, "ADDRESS", f"file://{tmp_path}/no.tar")

    def both(self, dl_manager):
        dl_manager.download(f"{tmp_path}/whole.bin")
        dl_manager.download(f"{tmp_path}/missing.bin")

    monkeypatch.setattr(Unreachable, "_split_generators", both)
    (tmp_path / "whole.bin").write_bytes(b"whole")
    (tmp_path / "sets").mkdir()
    with pytest.raises(ValueError, match=r"unreachable 1\.2\.3 is not prepared"):
        datasets.load("unreachable", "train", str(tmp_path / "sets"))
    kept = [path for path in everything(tmp_path / "sets") if path.is_file()]
    assert sorted(path.suffix for path in kept) == [".INFO", ".bin"]
    assert {path.read_bytes() for path in kept if path.suffix == ".bin"} == {b"whole"}


def test_a_server_that_never_answers_costs_seconds(tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(
            Unreachable, "ADDRESS", f"http://127.0.0.1:{server.getsockname()[1]}/a.tar"
        )
        monkeypatch.setattr("train.datasets.tfds.TIMEOUTS", (1, 1))
        start = time.monotonic()
        with pytest.raises(ValueError, match=r"127\.0\.0\.1 cannot be reached"):
            datasets.load("unreachable", "train", str(tmp_path))
        assert time.monotonic() - start < 15
    assert not everything(tmp_path)


def test_nothing_is_prepared_in_a_place_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match=f"data_dir must be a directory, got '{tmp_path}/no'"):
        open_data(helpers.recipe(dataset="failing"), str(tmp_path / "no"))
    assert not everything(tmp_path)


def test_a_folder_inside_a_set_is_no_data_dir(tmp_path):
    name = helpers.tfds_set(tmp_path, {"train": 3, "test": 3})
    for inside in (tmp_path / name, tmp_path / name / "1.0.0"):
        words = f"must be the folder that holds {name}/, which is {tmp_path}; got {inside}$"
        with pytest.raises(ValueError, match=words):
            datasets.load(name, "train", str(inside))
    assert datasets.load(name, "train", str(tmp_path)).size == 3
    shutil.copytree(tmp_path, tmp_path / name, dirs_exist_ok=True)
    assert datasets.load(name, "train", str(tmp_path / name)).size == 3  # a place of that name


@pytest.mark.parametrize("name", ["shapes:2.0.0", "shapes/big"])
def test_another_version_or_configuration_is_named(tmp_path, name):
    helpers.tfds_set(tmp_path, {"train": 3, "test": 3})
    with pytest.raises(ValueError, match=f"'{name}'.*; {tmp_path} has shapes:1.0.0$"):
        datasets.load(name, "train", str(tmp_path))
    assert datasets.load("shapes:1.0.0", "train", str(tmp_path)).size == 3


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cifar12", "'digits', 'folder' or one of TFDS, got 'cifar12'; similar names: cifar10"),
        ("cifar10:9.9.9", "TFDS cannot open 'cifar10:9.9.9': .* only: 3"),
        ("", "TFDS cannot open ''"),
    ],
    ids=["name", "version", "empty"],
)
def test_unknown_names(tmp_path, name, words):
    with pytest.raises(ValueError, match=words):
        datasets.load(name, "train", str(tmp_path))


def test_a_data_dir_in_which_nothing_can_be_written(tmp_path):
    """A file stands where the folder of the set would be: even root cannot write there."""
    (tmp_path / "failing").write_text("a file")
    with pytest.raises(ValueError, match=r"failing 1\.2\.3 is not prepared in .*: "):
        datasets.load("failing", "train", str(tmp_path))
    assert everything(tmp_path) == {tmp_path / "failing"}


def test_a_set_that_is_not_complete(tmp_path):
    helpers.tfds_set(tmp_path, {"train": 3, "test": 3})
    (tmp_path / "failing").mkdir()
    shutil.copytree(tmp_path / "shapes" / "1.0.0", tmp_path / "failing" / "1.2.3")
    (tmp_path / "failing" / "1.2.3" / "dataset_info.json").unlink()
    with pytest.raises(ValueError, match=r"failing/1\.2\.3 is not a complete data set"):
        datasets.load("failing", "train", str(tmp_path))
