"""Real images for int8 and for the report: from folders, from TFDS, and handwritten digits."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_resnet.export.calibration import RealImages
from keras_resnet.labels import imagenet_labels
from keras_resnet.manifest import Manifest
from keras_resnet.preprocessing import Preprocessing
from tests.support import helpers
from train import datasets

SIZE = 8


def manifest(channels: int = 3, labels: tuple[str, ...] = ("a", "b"), **fields) -> Manifest:
    scaling = Preprocessing(**{"mean": (9.0,), "image_size": SIZE, "crop": 1.0, **fields})
    return Manifest("resnet20", (SIZE, SIZE, channels), labels, scaling)


def grey(file: Path, level: int, **options) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (SIZE, SIZE), (level,) * 3).save(file, **options)


def levels(images: np.ndarray) -> list[int]:
    """The shade of each image; each has only one."""
    assert images.dtype == np.float32
    assert images.shape[1:] == (SIZE, SIZE, 3)
    return np.rint(images.mean((1, 2, 3))).astype(int).tolist()


@pytest.fixture
def folder(tmp_path) -> Path:
    """Twelve images in the order of their names, whose shades are 0, 20 ... 220."""
    names = [f"{i}.png" for i in range(5)] + [f"a/b/{i}.jpg" for i in range(4)]
    names += ["c.webp", "d.JPEG", "e.png"]
    for i, name in enumerate(sorted(names, key=lambda name: tmp_path / name)):
        grey(tmp_path / name, 20 * i)
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def test_every_other_file_calibrates(folder) -> None:
    images = RealImages(folder)
    seen, compared = (levels(images.take(split, manifest())) for split in ("train", "test"))
    np.testing.assert_allclose(seen, range(0, 240, 40), atol=2)  # JPEG and WebP lose a little
    np.testing.assert_allclose(compared, range(20, 240, 40), atol=2)


def test_a_few_come_from_the_whole_folder(folder) -> None:
    found = levels(RealImages(folder).take("train", manifest(), 3))
    np.testing.assert_allclose(found, [0, 80, 200], atol=2)


def test_broken_files_are_left_out_with_a_word(folder, caplog) -> None:
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:40])
    (folder / "4.png").write_bytes(b"GIF89a" + bytes(100))
    found = RealImages(folder).take("train", manifest())
    assert len(found) == 4
    first, *words = [record.getMessage() for record in caplog.records]
    assert first.endswith(": 1 file that is not an image (notes.txt)")
    assert [word.split("left out, ")[1].split("/")[-1] for word in words] == ["2.png", "4.png"]


def test_a_folder_of_nothing_but_broken_files(tmp_path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.jpg").write_bytes(b"broken")
    with pytest.raises(ValueError, match="none of the images"):
        RealImages(tmp_path).take("test", manifest())


def test_images_are_resized_as_the_network_wants_them(tmp_path) -> None:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (2, 20, 30, 3)).astype(np.uint8)
    for i in (0, 1):
        Image.fromarray(pixels[i]).save(tmp_path / f"{i}.png")
    wanted = manifest(crop=0.875, interpolation="bicubic")
    found = RealImages(tmp_path).take("test", wanted)
    np.testing.assert_allclose(found[0], wanted.preprocessing.resize(pixels[1]), atol=1e-3)
    one = RealImages(tmp_path).take("test", manifest(channels=1))
    assert one.shape == (1, SIZE, SIZE, 1)


def test_digits_are_split_as_the_driver_splits_them() -> None:
    images = RealImages(dataset="digits")
    for split, count in (("train", 1437), ("test", 360)):
        found = images.take(split, manifest(channels=1), 2000)
        examples = datasets.load("digits", split, None)
        expected = {image.numpy().tobytes() for image, _ in decoded(examples)}
        assert {image.astype(np.uint8).tobytes() for image in found} == expected
        assert found.shape == (count, SIZE, SIZE, 1)
        assert found.max() == 255
    assert len(images.take("train", manifest(channels=1))) == 512


def decoded(examples):
    return examples.elements(None).map(examples.decode)


def test_data_sets_of_tfds(tmp_path) -> None:
    name = helpers.tfds_set(tmp_path, {"train": 9, "test": 5})
    images = RealImages(dataset=name, data_dir=tmp_path)
    rows = {split: helpers.noise(count, 8, 8, 3, seed=seed)
            for seed, (split, count) in enumerate({"train": 9, "test": 5}.items())}  # fmt: skip
    for split, expected in rows.items():
        found = images.take(split, manifest())
        assert {i.astype(np.uint8).tobytes() for i in found} == {i.tobytes() for i in expected}
    np.testing.assert_array_equal(
        images.take("train", manifest(), 4), images.take("train", manifest())[:4]
    )


def test_a_set_without_a_test_split_compares_on_its_validation_split(tmp_path) -> None:
    name = helpers.tfds_set(tmp_path, {"train": 3, "validation": 2})
    assert len(RealImages(dataset=name, data_dir=tmp_path).take("test", manifest())) == 2
    name = helpers.tfds_set(tmp_path / "b", {"train": 3})
    assert len(RealImages(dataset=name, data_dir=tmp_path / "b").take("test", manifest())) == 1
    assert len(RealImages(dataset=name, data_dir=tmp_path / "b").take("train", manifest())) == 2
    name = helpers.tfds_set(tmp_path / "c", {"train": 3, "extra": 3})
    with pytest.raises(ValueError, match=r"no test split, only \['extra', 'train'\]"):
        RealImages(dataset=name, data_dir=tmp_path / "c").take("test", manifest())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "from a directory or from a data set, got None and None"),
        ({"directory": Path(), "dataset": "digits"}, "got . and digits"),
        ({"directory": Path("absent")}, "directory must be a directory, got absent"),
        ({"directory": Path(), "data_dir": Path()}, "data_dir belongs to a data set"),
        ({"dataset": "digits", "data_dir": Path("absent")}, "data_dir must be a directory"),
        ({"dataset": "cifar11"}, "'digits', 'folder' or one of TFDS, got 'cifar11'"),
    ],
    ids=str,
)
def test_what_is_not_there_is_refused_at_once(arguments, words) -> None:
    with pytest.raises(ValueError, match=words):
        RealImages(**arguments)


def test_a_folder_needs_two_images(tmp_path) -> None:
    grey(tmp_path / "a.png", 0)
    with pytest.raises(ValueError, match="needs two images"):
        RealImages(tmp_path)


def test_channels_and_splits_have_to_fit(folder) -> None:
    with pytest.raises(ValueError, match="images must have 3 channels, got 1"):
        RealImages(dataset="digits").take("train", manifest())
    with pytest.raises(ValueError, match=r"\(1, 3, 4\) channels, not 5"):
        RealImages(folder).take("train", manifest(channels=5))
    with pytest.raises(ValueError, match=r"split must be one of .*'validation'"):
        RealImages(folder).take("validation", manifest())


def test_classes_are_known_by_the_names_of_labels(tmp_path) -> None:
    """Of digits, of a data set, and of folders."""
    digits = manifest(channels=1, labels=tuple("9876543210"))
    pixels, classes = RealImages(dataset="digits").examples("test", digits)
    by_pixels = {image.numpy().tobytes(): int(label) for image, label in
                 decoded(datasets.load("digits", "test", None))}  # fmt: skip
    assert [9 - by_pixels[i.astype(np.uint8).tobytes()] for i in pixels] == classes.tolist()
    name = helpers.tfds_set(tmp_path, {"train": 9, "test": 5})
    images = RealImages(dataset=name, data_dir=tmp_path)
    pixels, classes = images.examples("test", manifest(labels=("eel", "cow", "cat", "dog")))
    rows = {i.tobytes(): (2, 3, 0)[k % 3] for k, i in enumerate(helpers.noise(5, 8, 8, 3, seed=1))}
    assert classes.tolist() == [rows[i.astype(np.uint8).tobytes()] for i in pixels]
    assert images.examples("test", manifest(labels=("eel", "cow", "cat")))[1] is None


def test_classes_are_known_by_the_names_of_folders(tmp_path) -> None:
    for i, label in enumerate(["b", "a", "a", "b"]):
        grey(tmp_path / label / f"{i}.png", 20 * i)
    pixels, classes = RealImages(tmp_path).examples("test", manifest())
    assert (levels(pixels), classes.tolist()) == ([40, 60], [0, 1])
    assert RealImages(tmp_path).examples("test", manifest(labels=("night", "day")))[1] is None


def test_classes_of_imagenet_are_known_by_their_ids(tmp_path) -> None:
    ids, names = zip(*imagenet_labels(), strict=True)
    assert len(set(names)) < 1000  # two cranes: names alone do not tell
    for i, place in enumerate((7, 134, 517, 900)):
        grey(tmp_path / ids[place] / f"{i}.png", 20 * i)
    pixels, classes = RealImages(tmp_path).examples("test", manifest(labels=names))
    known = {20 * i: place for i, place in enumerate((7, 134, 517, 900))}
    assert [known[level] for level in levels(pixels)] == classes.tolist()
