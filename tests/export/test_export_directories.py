"""Where an export goes: names of versions, two at a time, full disks, and text in any locale."""

import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import tensorflow as tf

from keras_resnet import weights
from keras_resnet.export import directories, files, job
from keras_resnet.export.formats import FORMATS
from keras_resnet.export.source import Source
from keras_resnet.rewrite.fold import fold
from tests.support import exporting, helpers
from tests.support.full_disk import room

WRITTEN = {
    "saved_model": "",
    "tflite": "model.tflite",
    "onnx": "model.onnx",
    "openvino": "openvino/model.xml",
}
SMALL = {"repeats": [1, 1]}


@pytest.mark.parametrize("name", ["0", "1", "12", "20261127", str(2**63 - 1)])
def test_versions_of_tensorflow_serving(name, tmp_path):
    directories.check(tmp_path / name, ["saved_model"])


@pytest.mark.parametrize(
    "name", ["v1", "one", "-1", "+1", "01", "1.0", "1a", " 1", "1 ", "٣", str(2**63), "latest"]
)
def test_what_tensorflow_serving_would_never_see(name, tmp_path):
    with pytest.raises(ValueError, match="is not NAME/VERSION: TensorFlow Serving only"):
        directories.check(tmp_path / name, ["tflite", "saved_model"])
    directories.check(tmp_path / name, ["tflite"])


def test_what_is_there_stays(tmp_path):
    (tmp_path / "1").write_text("mine")
    (tmp_path / "2").symlink_to(tmp_path / "nowhere")
    for name in "12":
        with pytest.raises(FileExistsError, match="exists; export a new version beside it"):
            directories.check(tmp_path / name, ["saved_model"])


def test_two_exports_to_one_place_do_not_mix(tmp_path):
    """Both are half-way at the same time; the first to finish has the place."""
    out = tmp_path / "name" / "1"
    second = directories.staged(out)
    (second.__enter__() / "model.json").write_text("second")
    with directories.staged(out) as first:
        assert not list(first.iterdir())
        (first / "labels.txt").write_text("first")
        assert not out.exists()
    with pytest.raises(FileExistsError, match="was written by another process meanwhile"):
        second.__exit__(None, None, None)
    assert [path.name for path in out.iterdir()] == ["labels.txt"]
    assert [path.name for path in out.parent.iterdir()] == ["1"]


def test_two_exports_at_once_leave_one_whole(tmp_path):
    model, manifest = exporting.network("resnet20", **SMALL)

    def attempt(_: int) -> str:
        try:
            job.export(model, manifest, tmp_path / "1", job.Job(["tflite"]))
        except FileExistsError as error:
            return str(error)
        return "done"

    with ThreadPoolExecutor(2) as pool:
        answers = sorted(pool.map(attempt, range(2)))
    assert answers[1] == "done"
    assert "export a new version beside it" in answers[0]
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_what_a_dead_export_left_does_no_harm(tmp_path):
    stale = tmp_path / ".partial.1.dead" / "1"
    stale.mkdir(parents=True)
    (stale / "model.tflite").write_text("half")
    with directories.staged(tmp_path / "1") as stage:
        (stage / "a").touch()
    assert [path.name for path in (tmp_path / "1").iterdir()] == ["a"]
    assert (stale / "model.tflite").read_text() == "half"


def test_others_may_read_what_was_written(tmp_path):
    before = os.umask(0o022)
    try:
        with directories.staged(tmp_path / "1"):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "1").stat().st_mode & 0o777 == 0o755


@pytest.fixture(scope="module")
def source() -> Source:
    model, manifest = exporting.network("resnet20", **SMALL)
    return Source(fold(model), manifest, model.endpoints)


@pytest.mark.parametrize("limit", [1, 40_000])
@pytest.mark.parametrize("name", WRITTEN)
def test_a_full_disk_is_one_line_that_names_the_file(source, name, limit, tmp_path):
    path = tmp_path / WRITTEN[name]
    path.parent.mkdir(exist_ok=True)
    with room(limit), pytest.raises(OSError, match=f"cannot write {path}") as error:
        FORMATS[name].write(source, path)
    assert "\n" not in str(error.value)


def test_a_full_disk_leaves_nothing_of_an_export(tmp_path):
    """Weights fit under the limit, and the graph of the SavedModel does not."""
    model, manifest = exporting.network("resnet20", **SMALL)
    with room(150_000), pytest.raises(OSError, match="cannot write "):
        job.export(model, manifest, tmp_path / "name/1", job.Job(["saved_model"]))
    assert list((tmp_path / "name").iterdir()) == []


@pytest.mark.parametrize("file", ["labels.txt", "model.json", "report.json", "report.md"])
def test_texts_that_do_not_fit_are_named_too(file, tmp_path, monkeypatch):
    def full(path: Path, *_: object, **__: object) -> None:
        if path.name == file:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    model, manifest = exporting.network("resnet20", **SMALL)
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match=rf"cannot write .*/{file}: No space left on device"):
        job.export(model, manifest, tmp_path / "1", job.Job(["tflite"]))
    assert list(tmp_path.iterdir()) == []


def test_room_is_looked_for_before_anything_is_written(tmp_path, monkeypatch):
    model, manifest = exporting.network("resnet20", **SMALL)
    usage = os.statvfs(tmp_path)
    directories.check_room(tmp_path, usage.f_bavail * usage.f_frsize // 2)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1_000_000}))
    words = r"cannot write to .*: the files take \d+\.\d MB, and 1\.0 MB are free"
    with pytest.raises(OSError, match=words):
        job.export(model, manifest, tmp_path / "1")
    assert list(tmp_path.iterdir()) == []


def test_the_room_that_is_looked_for_is_near_what_is_taken(tmp_path):
    model, manifest = exporting.network("resnet20", repeats=[3, 3])
    chosen = job.Job(["saved_model", "tflite", "onnx", "openvino"])
    job.export(model, manifest, tmp_path / "1", chosen)
    taken = sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file())
    converting = 4 * fold(model).count_params()
    assert 0.5 < chosen.size(model) / (taken + converting) < 8


BREAKS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"


def test_a_label_is_a_line_whatever_it_contains():
    labels = [f"a{character}b" for character in BREAKS] + ["", "Ä \u200b 猫", "\udcff", r"a\n"]
    found = files.lines(labels)
    assert found.splitlines() == found.removesuffix("\n").split("\n")
    assert len(found.splitlines()) == len(labels)
    assert found.splitlines()[:2] == [r"a\nb", r"a\rb"]
    assert found.splitlines()[8] == r"a\u2028b"
    assert found.splitlines()[-4:] == ["", "Ä \u200b 猫", r"\udcff", r"a\n"]
    assert found.encode()


def test_labels_are_utf_8_in_any_locale(tmp_path):
    labels = ("Äpfel", "two\nlines", "猫", "\udcc4", "e", "f", "g")
    model, manifest = exporting.network("resnet20", **SMALL)
    weights.save(model, tmp_path / "a.keras", replace(manifest, labels=labels))
    flags = [f"--weights={tmp_path}/a.keras", f"--out={tmp_path}/name/1", "--formats=saved_model"]
    plain = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = helpers.python("-m", "keras_resnet.export", *flags, **plain)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "name" / "1"
    lines = (out / "labels.txt").read_text(encoding="utf-8").splitlines()
    assert lines == ["Äpfel", r"two\nlines", "猫", r"\udcc4", "e", "f", "g"]
    told = ["Äpfel", "two\nlines", "猫", r"\udcc4", "e", "f", "g"]
    assert json.loads((out / "model.json").read_text(encoding="utf-8"))["labels"] == told
    png = tf.io.encode_png(tf.zeros((32, 32, 3), tf.uint8))
    found = tf.saved_model.load(str(out)).signatures["predict_bytes"](image_bytes=png[None])
    assert {label.decode() for label in found["labels"].numpy()[0]} < set(told)
