"""A folder as a data set: which folders are splits, which are classes, what is held out."""

import os
import random
import re
from pathlib import Path

import pytest

from tests.support import trees
from tests.support.trees import by_class, classes
from train import datasets
from train.datasets import summary
from train.datasets.examples import Examples


def load(root: Path, split: str, validation: int = 0) -> Examples:
    return datasets.load("folder", split, str(root), validation)


def image_folder(root: Path) -> dict[str, set[bytes]]:
    """The rule of torchvision.datasets.ImageFolder, for files called .png."""
    names = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
    return {
        name: {
            os.fsencode(os.path.relpath(Path(folder, file), root.parent))
            for folder, _, files in os.walk(root / name, followlinks=True)
            for file in files
            if file.lower().endswith(".png")
        }
        for name in names
    }


def test_classes_and_files_are_those_of_torchvision(tmp_path):
    names = [*classes("dog", "Cat", "eel/young/tiny", "eel", "ä ö"), "dog/b/UPPER.PNG"]
    for split in ("train", "test"):
        trees.plant(tmp_path / split, names)
        assert by_class(load(tmp_path, split)) == image_folder(tmp_path / split)


GOOD = {  # files; then for each split, or for "" without any, the number of images by class
    "no splits": (classes("a", "b"), {"": {"a": 3, "b": 3}}),
    "train and test": (
        classes("train/a", "train/b", "test/a"),
        {"train": {"a": 3, "b": 3}, "test": {"a": 3, "b": 0}},
    ),
    "train and val": (
        classes("train/a", "train/b", "val/b"),
        {"train": {"a": 3, "b": 3}, "test": {"a": 0, "b": 3}},
    ),
    "all three": (
        classes("train/a", "train/b", "test/a", "val/b", count=1),
        {"train": {"a": 1, "b": 1}, "test": {"a": 1, "b": 0}, "validation": {"a": 0, "b": 1}},
    ),
    "upper case": (
        classes("TRAIN/a", "TRAIN/b", "Testing/a", "Valid/b"),
        {"train": {"a": 3, "b": 3}, "test": {"a": 3, "b": 0}, "validation": {"a": 0, "b": 3}},
    ),
    "training and dev": (
        classes("training/a", "training/b", "dev/b"),
        {"train": {"a": 3, "b": 3}, "test": {"a": 0, "b": 3}},
    ),
    "only test": (classes("test/a", "test/b"), {"test": {"a": 3, "b": 3}}),
    "only val, of one class": (classes("val/a"), {"test": {"a": 3}}),
    "a class called train": (
        classes("bus", "train", "val"),
        {"": {"bus": 3, "train": 3, "val": 3}},
    ),
    "classes called so within splits": (
        classes("train/train", "train/test", "test/test", count=1),
        {"train": {"test": 1, "train": 1}, "test": {"test": 1, "train": 0}},
    ),
    "nested folders": (
        classes("a/x", "a/y/z", "b", count=2),
        {"": {"a": 4, "b": 2}},
    ),
    "one folder in each, as in Tiny ImageNet": (
        classes("train/a/images", "train/b/images", "val/a/images"),
        {"train": {"a": 3, "b": 3}, "test": {"a": 3, "b": 0}},
    ),
    "letters": (classes("A", "a"), {"": {"A": 3, "a": 3}}),
}


@pytest.mark.parametrize("case", GOOD)
def test_layouts(tmp_path, case):
    names, expected = GOOD[case]
    trees.plant(tmp_path, names)
    if "" in expected:
        train, test = (by_class(load(tmp_path, split)) for split in ("train", "test"))
        assert {name: len(train[name] | test[name]) for name in train} == expected[""]
        assert test == {name: trees.held_out(train[name] | test[name]) for name in train}
        return
    for split, counts in expected.items():
        found = by_class(load(tmp_path, split))
        assert {name: len(files) for name, files in found.items()} == counts
    if {"train", "test"} <= set(expected):
        assert set(datasets.splits("folder", str(tmp_path))) == set(expected)


LATIN = os.fsdecode(b"caf\xe9")
BAD = {  # files; the split that is asked for, and what is said
    "empty": ([], "train", "no images (.jpg, .jpeg, .jpe, .jfif, .png"),
    "no classes": (["1.png", "2.png"], "train", "2 images in no folder of a class (1.png, 2.png)"),
    "one class": (classes("cat"), "train", "one class, 'cat'; training needs two or more"),
    "one class to test on": (classes("cat"), "test", "one class, 'cat'"),
    "one folder too high": (
        classes("photos/cat", "photos/dog"),
        "train",
        "if its folders 'cat', 'dog' are the classes, photos/ is the data_dir to give",
    ),
    "one class in train": (classes("train/cat", "test/cat"), "train", "one class, 'cat'"),
    "splits without classes": (
        classes("train", "test"),
        "train",
        "no folders of classes, only splits with images in them (test/, train/)",
    ),
    "a split and a class": (
        classes("train/a", "train/b", "bus"),
        "train",
        "train/ has the name of a split and holds folders, but beside it there are images in bus/",
    ),
    "a split with images": (
        [*classes("train/a", "train/b"), "train/1.png"],
        "train",
        "train/ holds images (train/1.png) beside folders of images (a/, b/)",
    ),
    "tests without classes": (
        [*classes("train/a", "train/b"), *classes("test")],
        "train",
        "test/ holds 3 images that are in no folder of a class",
    ),
    "val and valid": (
        classes("train/a", "train/b", "val/a", "valid/a"),
        "test",
        "val/, valid/ are both the validation split",
    ),
    "Train and train": (
        classes("train/a", "train/b", "Train/a", "test/a"),
        "train",
        "Train/, train/ are both the train split",
    ),
    "train alone": (classes("train/a", "train/b"), "test", "train/ but no test/, validation/ or"),
    "test alone": (classes("test/a", "test/b"), "train", "test/ but no train/"),
    "no validation": (classes("a", "b"), "validation", "needs validation="),
    "unknown test classes": (
        classes("train/cat", "train/dog", "test/Dog", "test/emu"),
        "train",
        "the test split has classes that training lacks: 'Dog', 'emu' ('Dog' and 'dog' differ only",
    ),
    "unknown validation classes": (
        classes("train/a", "train/b", "test/b", "val/c"),
        "test",
        "the validation split has classes that training lacks: 'c'; training has 'a', 'b'",
    ),
    "two levels": (
        classes("fold1/cat", "fold1/dog", "fold2/cat", "fold2/dog"),
        "train",
        "the folders fold1/, fold2/ holds no images but folders, of which cat/, dog/ are in all",
    ),
    "splits within classes": (
        classes("cat/train", "cat/test", "dog/train", "dog/test"),
        "train",
        "the folders cat/, dog/ holds no images but folders, of which test/, train/ are in all",
    ),
    "a class that is not UTF-8": (classes("a", LATIN), "train", "folder caf\\xe9 is not UTF-8"),
    "two ways to write a class": (
        classes("\u00e4", "a\u0308"),
        "train",
        "the folders 'a\\u0308', '\\xe4' look the same",
    ),
    "one image of a class": (
        [*classes("a"), *classes("b", count=1)],
        "train",
        "no images are left to train on of 'b' (1 in all)",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_can_be_read_in_two_ways_or_none_is_refused(tmp_path, case):
    names, split, words = BAD[case]
    trees.plant(tmp_path, names)
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        load(tmp_path, split)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value) or case == "no validation"


def test_held_out_files_are_those_of_the_rule(tmp_path):
    names = [os.fsencode(f"{name}/{i}.png") for name in "abc" for i in range(200)]
    trees.plant(tmp_path, names)
    found = by_class(load(tmp_path, "test"))
    for name, files in found.items():
        assert files == trees.held_out(f for f in names if f.startswith(name.encode()))
    assert 0.05 < sum(map(len, found.values())) / len(names) < 0.15


def test_more_photos_never_move_a_trained_image_into_the_test_or_validation_split(tmp_path):
    chance = random.Random(0)
    trees.plant(tmp_path, classes("a", "b", count=8))
    trained: set[bytes] = set()
    for _ in range(40):
        now = set(load(tmp_path, "train", validation=4).listing)
        held = {f for split in ("test", "validation") for f in load(tmp_path, split, 4).listing}
        assert not trained & held
        assert now | held == {
            os.fsencode(file.relative_to(tmp_path)) for file in tmp_path.rglob("*.png")
        }
        assert not now & held
        trained |= now
        added = [
            f"{chance.choice('abc')}/{chance.choice(['', 'x/'])}{chance.random()}.png"
            for _ in range(chance.randrange(1, 6))
        ]
        added += classes("c", count=4)  # or a single image of it may be all there is
        trees.plant(tmp_path, added)


def test_own_splits_hold_validation_examples_out_of_training(tmp_path):
    trees.plant(tmp_path, [*classes("train/a", "train/b", count=20), *classes("test/a")])
    train, held = (set(load(tmp_path, split, 10).listing) for split in ("train", "validation"))
    assert (len(train), len(held)) == (30, 10)
    assert train | held == set(load(tmp_path, "train").listing)
    assert all(counts > 0 for counts in load(tmp_path, "train", 10).counts)


@pytest.mark.parametrize(
    ("names", "count", "words"),
    [
        (classes("train/a", "train/b", "test/a", "val/a"), 2, "a validation split of its own"),
        (classes("test/a", "test/b"), 2, "held out of train/, which is missing"),
        (classes("train/a", "train/b", "test/a"), 6, "below the 6 examples, got 6"),
        (classes("train/a", "train/b", "test/a"), 5, "no images are left to train on of"),
    ],
    ids=["own split", "nothing to train on", "all", "all of a class"],
)
def test_validation_that_cannot_be(tmp_path, names, count, words):
    trees.plant(tmp_path, names)
    with pytest.raises(ValueError, match=words):
        load(tmp_path, "train", count)


def test_names_of_files_need_not_be_text(tmp_path):
    names = [b"a/caf\xe9.png", b"a/line\nbreak.png", b"b/\xff\xfe/1.png", b"b/2.png"]
    trees.plant(tmp_path, [b"train/" + name for name in names])
    trees.plant(tmp_path, [b"test/" + name for name in names])
    assert set.union(*by_class(load(tmp_path, "train")).values()) == {b"train/" + n for n in names}


def test_links_to_folders_are_classes(tmp_path):
    trees.plant(tmp_path / "store", classes("cats", "dogs"))
    (tmp_path / "data").mkdir()
    for name in ("cat", "dog"):
        (tmp_path / "data" / name).symlink_to(tmp_path / "store" / f"{name}s")
    assert load(tmp_path / "data", "train").counts == (2, 2)


def lines(root: Path, *splits: str, validation: int = 0) -> list[str]:
    opened = {split: load(root, split, validation) for split in splits}
    return summary.lines("folder", str(root), opened)


def test_a_run_says_what_it_found(tmp_path):
    root = trees.plant(tmp_path / "photos", classes("train/cat", "train/a dog", count=9))
    trees.plant(root, ["val/cat/1.png", ".git/x.png", "top.png", "train/cat/.x.png"])
    trees.plant(root, ["train/read.me", "train/cat/scan.tif"], b"II*\0")
    trees.plant(root, ["train/read.me"], b"hello")
    (root / "train" / "empty").mkdir()
    told = lines(root, "train", "test")
    assert told[:3] == [
        "photos: 19 images in 2 classes: 18 training, 1 test",
        "  a dog: 9 + 0, cat: 9 + 1",
        "  without test images: 'a dog'",
    ]
    assert " ".join(line.strip() for line in told[3:]) == (
        "left out: 1 TIFF file (train/cat/scan.tif; not supported: convert to PNG), 1 file that is"
        " not an image (train/read.me), 1 folder without images (train/empty), 1 hidden file"
        " (train/cat/.x.png), 1 hidden folder (.git), 1 image in no folder of a class (top.png)"
    )
    assert all(len(line) <= 100 for line in told)
    begin = ["photos: 1 image in 2 classes: 1 test", "  a dog: 0, cat: 1"]
    assert lines(root, "test") == [*begin, *told[2:]]


def test_many_classes_are_summed_up(tmp_path):
    names = [name for i in range(20) for name in classes(f"c{i:02d}", count=i + 3)]
    trees.plant(tmp_path, [f"train/{name}" for name in names] + classes("test/c00", count=1000))
    root = tmp_path.rename(tmp_path.with_name("many"))
    assert lines(root, "train", "test")[:2] == [
        "many: 1,250 images in 20 classes: 250 training, 1,000 test",
        "  smallest c01: 4 + 0, largest c00: 3 + 1,000",
    ]


def test_a_held_out_part_is_said(tmp_path):
    root = trees.plant(tmp_path / "a\nb", classes("A", "a", count=20))
    told = lines(root, "train", "validation", "test", validation=3)
    assert told[0].startswith("a\\nb: 40 images in 2 classes: ")
    assert "  test images: a tenth of each class, chosen by the names of the files" in told
    assert "  classes whose names nearly agree: 'A', 'a'" in told
    assert told[0].count("3 validation") == 1


def test_sets_of_other_kinds_are_counted():
    opened = {split: datasets.load("digits", split, None) for split in ("train", "test")}
    told = summary.lines("digits", None, opened)
    assert told[0] == "digits: 1,797 images in 10 classes: 1,437 training, 360 test"
    assert told[1].startswith("  0: 142 + 36, 1: 146 + 36, ")
    assert all(len(line) <= 100 for line in told)
