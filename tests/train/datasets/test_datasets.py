"""Where images and labels come from: digits, folders, and sets of TFDS."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.datasets import load_digits

from tests.support import helpers
from train import datasets
from train.datasets import records
from train.datasets.examples import Examples, sample


def contents(examples: Examples) -> list[tuple[bytes, int]]:
    """Returns (pixels, label) of each example in order."""
    pairs = [examples.decode(element) for element in examples.elements(None)]
    assert len(pairs) == examples.size
    return [(image.numpy().tobytes(), int(label)) for image, label in pairs]


def test_digits_are_scikit_learns():
    parts = [datasets.load("digits", split, None) for split in ("train", "test")]
    source = load_digits()
    # 16 grey levels become 256: 16 -> 255 exactly, 8 -> 127.5, rounded to even.
    pixels = np.round(source.images * 255 / 16).astype(np.uint8)
    expected = sorted((x.tobytes(), int(y)) for x, y in zip(pixels, source.target, strict=True))
    assert sorted(contents(parts[0]) + contents(parts[1])) == expected
    assert [part.size for part in parts] == [1437, 360]
    assert parts[0].labels == tuple("0123456789")
    assert parts[0].channels == 1


def test_a_fifth_of_each_digit_is_for_testing():
    labels = [label for _, label in contents(datasets.load("digits", "test", None))]
    counts = np.bincount(labels) / np.bincount(load_digits().target)
    np.testing.assert_allclose(counts, 0.2, atol=0.01)


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> dict[str, tuple[str, str | None]]:
    """For each kind of set its name, its place, and (images to train on, to test on)."""
    root = tmp_path_factory.mktemp("sets")
    helpers.image_folder(root / "flat", 30)
    helpers.image_folder(root / "split" / "train", 24)
    helpers.image_folder(root / "split" / "val", 9, seed=1)
    (root / "tfds").mkdir()
    name = helpers.tfds_set(root / "tfds", {"train": 24, "test": 7})
    return {
        "digits": ("digits", None),
        "flat folder": ("folder", str(root / "flat")),
        "split folder": ("folder", str(root / "split")),
        "tfds": (name, str(root / "tfds")),
        "tfds stream": (name, str(root / "tfds")),
    }


KINDS = ["digits", "flat folder", "split folder", "tfds", "tfds stream"]
SIZES = {"digits": (1437, 360), "flat folder": (27, 3), "split folder": (24, 9)}


@pytest.fixture(params=KINDS)
def kind(request, monkeypatch) -> str:
    if request.param == "tfds stream":
        monkeypatch.setattr(records, "IN_MEMORY_BYTES", 0)
    return request.param


def test_sizes_of_splits(places, kind):
    name, place = places[kind]
    train, test = (datasets.load(name, split, place) for split in ("train", "test"))
    assert (train.size, test.size) == SIZES.get(kind, (24, 7))
    assert not set(contents(train)) & set(contents(test))


def test_held_out_examples_are_not_trained_on(places, kind):
    name, place = places[kind]
    whole = contents(datasets.load(name, "train", place))
    train = contents(datasets.load(name, "train", place, validation=5))
    held = contents(datasets.load(name, "validation", place, validation=5))
    assert len(held) == 5
    assert sorted(train + held) == sorted(whole)


def test_a_shuffle_is_a_permutation_that_its_seed_decides(places, kind):
    examples = datasets.load(*insert_split(places[kind]))
    orders = [[str(examples.name(e).numpy()) for e in examples.elements(seed)] for seed in SEEDS]
    in_order = [str(examples.name(e).numpy()) for e in examples.elements(None)]
    assert all(sorted(order) == sorted(in_order) for order in orders)
    assert orders[0] == orders[1]
    assert len({tuple(order) for order in [in_order, *orders]}) == 5


SEEDS = [tf.constant(seed, tf.int64) for seed in [(0, 0), (0, 0), (0, 1), (1, 0), (1, 1)]]


def insert_split(place: tuple[str, str | None]) -> tuple[str, str, str | None]:
    return place[0], "train", place[1]


def test_a_sample_is_the_same_each_time(places, kind):
    examples = datasets.load(*insert_split(places[kind]))
    few = sample(examples, 7)
    names = [str(few.name(element).numpy()) for element in few.elements(None)]
    assert len(set(names)) == few.size == 7
    assert names == [str(few.name(element).numpy()) for element in few.elements(SEEDS[-1])]
    assert set(contents(few)) <= set(contents(examples))
    assert sample(examples, 10_000).size == examples.size


@pytest.mark.parametrize("kind", ["tfds", "tfds stream"], indirect=True)
def test_tfds_gives_what_was_written(places, kind):
    examples = datasets.load(*insert_split(places[kind]))
    pixels = helpers.noise(24, 8, 8, 3, seed=0)
    expected = sorted((x.tobytes(), i % 3) for i, x in enumerate(pixels))
    assert sorted(contents(examples)) == expected
    assert (examples.labels, examples.channels) == (("cat", "dog", "eel"), 3)


def test_tfds_images_of_many_sizes_stream(tmp_path):
    name = helpers.tfds_set(tmp_path, {"train": 4, "validation": 2}, (None, None, 1))
    assert len(contents(datasets.load(name, "train", str(tmp_path)))) == 4
    assert datasets.load(name, "test", str(tmp_path)).size == 2
    assert datasets.load(name, "test", str(tmp_path)).channels == 1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("place", ["memory", "disk"])
def test_jpegs_of_tfds_are_decoded_exactly(tmp_path, monkeypatch, place, channels):
    """As Pillow does it, with which TFDS has no part in decoding."""
    import tensorflow_datasets as tfds

    if place == "disk":
        monkeypatch.setattr(records, "IN_MEMORY_BYTES", 0)
    features = {
        "image": tfds.features.Image(shape=(40, 30, channels), encoding_format="jpeg"),
        "label": tfds.features.ClassLabel(num_classes=6),
    }
    expected = {}
    rows = []
    for i in range(6):
        colours = np.random.default_rng(i).integers(0, 256, (4, 3, 3)).astype(np.uint8)
        picture = Image.fromarray(colours).resize((30, 40)).convert("L" if channels == 1 else "RGB")
        picture.save(tmp_path / f"{i}.jpg", quality=80)
        with Image.open(tmp_path / f"{i}.jpg") as saved:
            expected[i] = np.asarray(saved).tobytes()
        rows.append({"image": str(tmp_path / f"{i}.jpg"), "label": i})
    helpers.write_tfds(tmp_path, "jpegs", features, {"train": rows})
    found = [contents(datasets.load("jpegs", split, str(tmp_path))) for split in ("train", "test")]
    assert {label: pixels for pixels, label in found[0] + found[1]} == expected


def test_tfds_without_any_test_split(tmp_path):
    name = helpers.tfds_set(tmp_path, {"train": 4, "extra": 2})
    with pytest.raises(ValueError, match=r"no test split.*extra.*train"):
        datasets.load(name, "test", str(tmp_path))


def test_tfds_that_does_not_classify_images(tmp_path):
    import tensorflow_datasets as tfds

    examples = {"train": [{"text": "hello"}]}
    helpers.write_tfds(tmp_path, "words", {"text": tfds.features.Text()}, examples)
    with pytest.raises(ValueError, match=r"words does not classify images: [^\0]*text"):
        datasets.load("words", "train", str(tmp_path))


def test_unknown_set(tmp_path):
    with pytest.raises(ValueError, match="'no_such_set'"):
        datasets.load("no_such_set", "train", str(tmp_path))


@pytest.mark.parametrize("split", ["val", "", "train[:10]"])
def test_unknown_split(split):
    with pytest.raises(ValueError, match="'train', 'validation' or 'test'"):
        datasets.load("digits", split, None)


def test_validation_split_needs_a_size():
    with pytest.raises(ValueError, match="validation="):
        datasets.load("digits", "validation", None)


@pytest.mark.parametrize("size", [1437, 5000])
def test_more_held_out_than_there_is(size):
    with pytest.raises(ValueError, match=f"1437 examples, got {size}"):
        datasets.load("digits", "train", None, validation=size)


def test_folder_names_classes_in_sorted_order(tmp_path):
    folder = helpers.image_folder(tmp_path, 30)
    examples = datasets.load("folder", "train", str(folder))
    assert examples.labels == ("a", "b", "c")
    by_pixels = {x.tobytes(): "cab"[i % 3] for i, x in enumerate(helpers.noise(30, 10, 12, 3))}
    assert all(by_pixels[pixels] == "abc"[label] for pixels, label in contents(examples))


PICTURES = [
    ("grey.png", "L", 128, (128, 128, 128)),
    ("grey.jpg", "L", 128, (128, 128, 128)),
    ("rgb.jpeg", "RGB", (200, 100, 50), (200, 100, 50)),
    ("rgba.png", "RGBA", (200, 100, 50, 255), (200, 100, 50)),
    ("UPPER.PNG", "RGB", (200, 100, 50), (200, 100, 50)),
    ("palette.gif", "RGB", (200, 100, 50), (200, 100, 50)),
    ("rgb.bmp", "RGB", (200, 100, 50), (200, 100, 50)),
    ("palette.bmp", "P", 3, (10, 20, 30)),
    ("ink.jpg", "CMYK", (0, 0, 0, 0), (255, 255, 255)),
]


@pytest.mark.parametrize(("name", "mode", "colour", "rgb"), PICTURES, ids=[p[0] for p in PICTURES])
def test_folder_reads_any_picture_as_three_channels(tmp_path, name, mode, colour, rgb):
    (tmp_path / "test" / "only").mkdir(parents=True)
    picture = Image.new(mode, (16, 24), colour)
    if mode == "P":
        picture.putpalette([200] * 9 + [10, 20, 30])
    picture.save(tmp_path / "test" / "only" / name)
    examples = datasets.load("folder", "test", str(tmp_path))
    image, label = examples.decode(next(iter(examples.elements(None))))
    assert (image.shape, image.dtype, int(label)) == ((24, 16, 3), tf.uint8, 0)
    np.testing.assert_allclose(np.mean(image, (0, 1)), rgb, atol=3)


def test_folder_without_images(tmp_path):
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats" / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"no images \(.*\.png.*\) in"):
        datasets.load("folder", "train", str(tmp_path))


def test_folder_with_train_but_no_test(tmp_path):
    helpers.image_folder(tmp_path / "train", 6)
    with pytest.raises(ValueError, match=r"train/ but no test/, validation/ or val/"):
        datasets.load("folder", "test", str(tmp_path))


def test_folder_needs_a_place():
    with pytest.raises(ValueError, match="data_dir"):
        datasets.load("folder", "train", None)


@pytest.mark.parametrize("name", ["folder", "digits", "cifar10"])
def test_missing_data_dir(tmp_path, name):
    missing = Path(tmp_path / "missing")
    with pytest.raises(ValueError, match=f"data_dir must be a directory, got '{missing}'"):
        datasets.load(name, "train", str(missing))


def test_a_tilde_is_the_home_of_the_user(tmp_path, monkeypatch):
    """A shell leaves the tilde of --data_dir=~/photos alone."""
    helpers.image_folder(tmp_path / "photos", 20)
    monkeypatch.setenv("HOME", str(tmp_path))
    sizes = [datasets.load("folder", split, "~/photos").size for split in ("train", "test")]
    assert sum(sizes) == 20


def test_a_set_that_somebody_has_to_fetch_says_so(tmp_path):
    with pytest.raises(ValueError, match=r"imagenet2012 5\.\d\.\d is not prepared in .*manual"):
        datasets.load("imagenet2012", "train", str(tmp_path))
