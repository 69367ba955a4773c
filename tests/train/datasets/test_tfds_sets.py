"""Data sets of TFDS of all kinds: each is right, or refused in one line before training starts."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tests.support import helpers
from train import datasets
from train.datasets import records
from train.datasets.batches import eval_batches
from train.datasets.decoding import Broken, TooManyBroken, watched
from train.datasets.examples import Examples
from train.recipes.data import open_data

F = tfds.features
PNG = F.Image(shape=(8, 8, 3), encoding_format="png")
NAMED = F.ClassLabel(names=["cat", "dog", "eel"])
NOISE = helpers.noise(12, 8, 8, 3)


def written(
    folder: Path, image: Any, label: Any, images: Iterable, labels: Iterable, **more
) -> str:
    """Writes a set whose images and labels stand in both splits; returns its place."""
    rows = [{"image": x, "label": y} for x, y in zip(images, labels, strict=True)]
    splits = {"train": rows, "test": rows} | more
    helpers.write_tfds(folder, "shapes", {"image": image, "label": label}, splits)
    return str(folder)


def contents(examples: Examples) -> list[tuple[int, np.ndarray]]:
    """Returns labels and pixels, in the order of labels that are all different."""
    pairs = [examples.decode(element) for element in examples.elements(None)]
    return sorted(((int(y), x.numpy()) for x, y in pairs), key=lambda pair: pair[0])


LEVELS = np.random.default_rng(0)
GREY = LEVELS.integers(0, 256, (12, 8, 8, 1))
DEEP = LEVELS.integers(0, 2**16, (12, 8, 8, 3)).astype(np.uint16)
PAPER = np.tile(GREY, 5).astype(np.uint8)
UNIT = (GREY / 255).astype(np.float32)
WIDE = (NOISE * 0.9).astype(np.float32)
IMAGES = {
    "16 bits": (
        F.Image(shape=(8, 8, 3), dtype=np.uint16, encoding_format="png"),
        DEEP,
        DEEP >> 8,
        "16-bit images: the upper eight bits are used",
    ),
    "16 bits, of sizes": (
        F.Image(shape=(None, None, 3), dtype=np.uint16),
        DEEP,
        DEEP >> 8,
        "16-bit images: the upper eight bits are used",
    ),
    "16 bits, numbers": (
        F.Tensor(shape=(8, 8, 3), dtype=np.uint16),
        DEEP,
        DEEP >> 8,
        "16-bit images: the upper eight bits are used",
    ),
    "0..1 in PNG": (
        F.Image(shape=(8, 8, 1), dtype=np.float32),
        UNIT,
        GREY,
        "float images: levels of 0..1, times 255",
    ),
    "0..1": (
        F.Tensor(shape=(8, 8, 1), dtype=np.float64),
        UNIT.astype(np.float64),
        GREY,
        "float images: levels of 0..1, times 255",
    ),
    "0..255": (
        F.Tensor(shape=(8, 8, 3), dtype=np.float32),
        WIDE,
        np.rint(WIDE),
        "float images: levels of 0..255, rounded",
    ),
    "eight bits": (F.Tensor(shape=(8, 8, 3), dtype=np.uint8), NOISE, NOISE, None),
    "five channels": (F.Tensor(shape=(8, 8, 5), dtype=np.uint8), PAPER, PAPER, None),
    "alpha": (F.Image(shape=(8, 8, 4)), np.tile(GREY, 4).astype(np.uint8), np.tile(GREY, 4), None),
}


@pytest.mark.parametrize("kind", IMAGES)
def test_images_become_pixels(tmp_path, monkeypatch, kind):
    feature, images, expected, note = IMAGES[kind]
    place = written(tmp_path, feature, F.ClassLabel(num_classes=12), images, range(12))
    for memory in (1 << 30, 0):
        monkeypatch.setattr(records, "IN_MEMORY_BYTES", memory)
        examples = datasets.load("shapes", "train", place)
        found = contents(examples)
        assert [y for y, _ in found] == list(range(12))
        np.testing.assert_array_equal([x for _, x in found], expected)
        assert all(x.dtype == np.uint8 for _, x in found)
        assert examples.channels == expected.shape[-1]
        assert list(examples.found) == ([note] if note else [])


FLOAT = F.Tensor(shape=(8, 8, 3), dtype=np.float32)
NO_IMAGES = {
    "-1..1": (FLOAT, WIDE / 127.5 - 1, r"floats of -1\.\.0\.8; .* 0\.\.1 or 0\.\.255"),
    "0..1.02": (FLOAT, WIDE / 225, r"floats of 0\.\.1\.02"),
    "0..300": (FLOAT, WIDE + 70, "floats of 70[.]+299.5"),
    "black": (FLOAT, WIDE * 0, r"floats of 0\.\.0"),
    "nan": (FLOAT, WIDE * np.nan, r"floats of nan\.\.nan"),
    "integers": (F.Tensor(shape=(8, 8, 3), dtype=np.int32), NOISE.astype(np.int32), "type int32"),
    "bool": (F.Tensor(shape=(8, 8, 3), dtype=np.bool_), NOISE > 9, "type bool"),
    "two channels": (F.Image(shape=(8, 8, 2)), NOISE[..., :2], r"2 channels; \(1, 3, 4\)"),
    "flat": (F.Tensor(shape=(8, 8), dtype=np.uint8), NOISE[..., 0], r"shape \(8, 8\); it must be"),
}


@pytest.mark.parametrize("kind", NO_IMAGES)
def test_other_images_are_refused(tmp_path, kind):
    feature, images, words = NO_IMAGES[kind]
    place = written(tmp_path, feature, NAMED, images.astype(feature.np_dtype), [0] * 12)
    with pytest.raises(ValueError, match=f"^shapes cannot be used: image has .*{words}"):
        datasets.load("shapes", "train", place)


def test_a_later_float_image_of_another_scale_is_broken(tmp_path, monkeypatch):
    monkeypatch.setattr("train.datasets.tfds.FIRST", 1)
    images = np.stack([np.full((8, 8, 1), level, np.float32) for level in [1, 1, 1, 200]])
    place = written(tmp_path, F.Tensor(shape=(8, 8, 1), dtype=np.float32), NAMED, images, [0] * 4)
    examples = datasets.load("shapes", "train", place)
    assert broken_lines(examples, 1)[0].endswith(
        "levels of 200 to 200, where the first images have 0 to 1; left out, 1 so far"
    )


def broken_lines(examples: Examples, limit: int) -> list[str]:
    """Reads all, and returns what is printed of those that are broken."""
    import contextlib
    import io

    broken = Broken(limit)
    printed = io.StringIO()
    stream = eval_batches(examples, helpers.PLAIN, 4, broken=broken)
    with contextlib.redirect_stdout(printed):
        list(watched(stream, broken))
    return printed.getvalue().splitlines()


INTEGERS = [F.Scalar(np.int32), F.Tensor(shape=(), dtype=np.uint8)]


@pytest.mark.parametrize("feature", INTEGERS, ids=["scalar", "tensor"])
def test_integers_without_names_are_counted(tmp_path, feature):
    place = written(tmp_path, PNG, feature, NOISE, [0, 1, 2, 3] * 3)
    for split in ("train", "test"):
        examples = datasets.load("shapes", split, place)
        assert examples.labels == ("0", "1", "2", "3")
        assert examples.found == ("labels are integers without names: 4 classes, 0 to 3",)
        assert sorted(y for y, _ in contents(examples)) == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3


NO_LABELS = {
    "gaps": (F.Scalar(np.int64), [1, 7, 9] * 4, "3 different values up to 9; 10 classes"),
    "sequence": (F.Sequence(NAMED), [[0], [1, 2]] * 6, "label is Sequence.*needs a ClassLabel"),
    "several": (F.Tensor(shape=(3,), dtype=np.int64), [[0, 1, 1]] * 12, "label is Tensor"),
    "text": (F.Text(), ["cat", "dog"] * 6, "label.*needs a ClassLabel"),
    "floats": (F.Scalar(np.float32), [0.5, 1.0] * 6, "type float32; training needs a ClassLabel"),
    "bool": (F.Scalar(np.bool_), [True, False] * 6, "type bool; training needs a ClassLabel"),
    "box": (F.BBoxFeature(), [F.BBox(0.0, 0.0, 1.0, 1.0)] * 12, "label is BBox"),
}


@pytest.mark.parametrize("kind", NO_LABELS)
def test_other_labels_are_refused(tmp_path, kind):
    feature, labels, words = NO_LABELS[kind]
    place = written(tmp_path, PNG, feature, NOISE, labels)
    with pytest.raises(ValueError, match=f"(?s)^shapes cannot be used: .*{words}") as caught:
        datasets.load("shapes", "train", place)
    assert "\n" not in str(caught.value)


def test_integers_of_a_large_set_are_not_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "IN_MEMORY_BYTES", 0)
    place = written(tmp_path, PNG, F.Scalar(np.int64), NOISE, [0, 1, 2] * 4)
    with pytest.raises(ValueError, match="integer without names of classes, and the set is too"):
        datasets.load("shapes", "train", place)


@pytest.mark.parametrize("place", ["memory", "disk"])
@pytest.mark.parametrize("feature", [NAMED, F.Scalar(np.int64)], ids=["named", "integers"])
def test_an_unlabelled_split_is_refused_before_training(tmp_path, monkeypatch, place, feature):
    hidden = [{"image": x, "label": -1} for x in NOISE]
    folder = written(tmp_path, PNG, feature, NOISE, [0, 1, 2] * 4, test=hidden)
    if place == "disk" and feature is NAMED:
        monkeypatch.setattr(records, "IN_MEMORY_BYTES", 0)
    recipe = helpers.recipe(dataset="shapes", preprocessing="none")
    with pytest.raises(ValueError, match=r"^shapes: 12 of 12 labels of test\[0:12\].*such as -1"):
        open_data(recipe, folder)


def test_later_labels_that_are_no_class_are_broken(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr("train.datasets.classes.FIRST", 1)
    labels = [0, 1, 2] * 3 + [-1, -1, 2]
    examples = datasets.load("shapes", "test", written(tmp_path, PNG, NAMED, NOISE, labels))
    lines = broken_lines(examples, 2)
    assert len(lines) == 2
    assert all(line.startswith("broken image record ") for line in lines)
    assert lines[1].endswith(": label -1; left out, 2 so far")
    with pytest.raises(TooManyBroken, match="2 images cannot be decoded, max_broken is 1"):
        broken_lines(examples, 1)


def test_features_of_other_names(tmp_path):
    features = {"image": PNG, "objects": F.Sequence(NAMED)}
    rows = [{"image": x, "objects": [0]} for x in NOISE]
    helpers.write_tfds(tmp_path, "shapes", features, {"train": rows})
    with pytest.raises(
        ValueError, match="needs the features image and label, and has image, objects"
    ):
        datasets.load("shapes", "train", str(tmp_path))


def test_the_end_of_an_only_split_is_for_testing(tmp_path):
    rows = [{"image": x, "label": i} for i, x in enumerate(NOISE)]
    features = {"image": PNG, "label": F.ClassLabel(num_classes=12)}
    helpers.write_tfds(tmp_path, "shapes", features, {"train": rows})
    parts = [datasets.load("shapes", split, str(tmp_path)) for split in ("train", "test")]
    assert [part.size for part in parts] == [10, 2]
    assert sorted(y for part in parts for y, _ in contents(part)) == list(range(12))
    note = "no test split: tested on the last 2 of 12 training examples"
    assert [part.found for part in parts] == [(note,)] * 2
    held = [datasets.load("shapes", split, str(tmp_path), 3) for split in ("train", "validation")]
    assert sorted(y for part in [*held, parts[1]] for y, _ in contents(part)) == list(range(12))


def test_a_validation_split_beside_a_test_split_is_used(tmp_path):
    name = helpers.tfds_set(tmp_path, {"train": 9, "test": 4, "validation": 5})
    place = str(tmp_path)
    assert list(datasets.splits(name, place)) == ["train", "test", "validation"]
    data = open_data(helpers.recipe(dataset=name), place)
    assert {split: part.size for split, part in data.splits.items()} == {
        "train": 9,
        "test": 4,
        "validation": 5,
    }
    assert data.eval_split == "validation"
    with pytest.raises(ValueError, match="own validation split of 5 examples; validation=3 cannot"):
        open_data(helpers.recipe(dataset=name, validation=3), place)


def test_a_set_to_test_on_only(tmp_path):
    name = helpers.tfds_set(tmp_path, {"test": 4})
    assert datasets.load(name, "test", str(tmp_path)).size == 4
    with pytest.raises(ValueError, match=r"shapes has no train split, only \['test'\]"):
        datasets.load(name, "train", str(tmp_path))


def test_files_of_another_format_are_refused(tmp_path):
    """TFDS writes other formats if it is asked to."""
    name = helpers.tfds_set(tmp_path, {"train": 9, "test": 4})
    info = tmp_path / name / "1.0.0" / "dataset_info.json"
    text = info.read_text()
    assert '"fileFormat": "tfrecord"' in text
    info.write_text(text.replace('"fileFormat": "tfrecord"', '"fileFormat": "array_record"'))
    with pytest.raises(ValueError, match="is stored as array_record, and only tfrecord can be"):
        datasets.load(name, "train", str(tmp_path))
