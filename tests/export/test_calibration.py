"""Real images for int8 and for the report: from folders and from .npz files."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_resnet.export.calibration import File, Folder
from keras_resnet.labels import imagenet_labels
from keras_resnet.manifest import Manifest
from keras_resnet.preprocessing import Preprocessing
from tests.support import helpers

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
    images = Folder(folder)
    seen = levels(images.to_calibrate(manifest()))
    compared = levels(images.to_compare(manifest())[0])
    np.testing.assert_allclose(seen, range(0, 240, 40), atol=2)  # JPEG and WebP lose a little
    np.testing.assert_allclose(compared, range(20, 240, 40), atol=2)


def test_a_few_come_from_the_whole_folder(folder) -> None:
    found = levels(Folder(folder).to_calibrate(manifest(), 3))
    np.testing.assert_allclose(found, [0, 80, 200], atol=2)


def test_broken_files_are_left_out_with_a_word(folder, caplog) -> None:
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:40])
    (folder / "4.png").write_bytes(b"GIF89a" + bytes(100))
    found = Folder(folder).to_calibrate(manifest())
    assert len(found) == 4
    first, *words = [record.getMessage() for record in caplog.records]
    assert first.endswith(": 1 file that is not an image (notes.txt)")
    assert [word.split("left out, ")[1].split("/")[-1] for word in words] == ["2.png", "4.png"]


def test_a_folder_of_nothing_but_broken_files(tmp_path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.jpg").write_bytes(b"broken")
    with pytest.raises(ValueError, match="none of the images"):
        Folder(tmp_path).to_compare(manifest())


def test_images_are_resized_as_the_network_wants_them(tmp_path) -> None:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (2, 20, 30, 3)).astype(np.uint8)
    for i in (0, 1):
        Image.fromarray(pixels[i]).save(tmp_path / f"{i}.png")
    wanted = manifest(crop=0.875, interpolation="bicubic")
    found = Folder(tmp_path).to_compare(wanted)[0]
    np.testing.assert_allclose(found[0], wanted.preprocessing.resize(pixels[1]), atol=1e-3)
    one, _ = Folder(tmp_path).to_compare(manifest(channels=1))
    assert one.shape == (1, SIZE, SIZE, 1)


def npz(file: Path, count: int = 6, **arrays) -> Path:
    """Writes flat images of the shades 0, 20, 40 ... and `arrays`, which may replace them."""
    shades = np.arange(count, dtype=np.uint8) * 20
    images = np.broadcast_to(shades[:, None, None, None], (count, SIZE, SIZE, 3))
    np.savez(file, **{"images": images, **arrays})
    return file


def test_every_other_image_of_a_file_calibrates(tmp_path) -> None:
    file = File(npz(tmp_path / "a.npz", 7, labels=[1, 0, 0, 1, 1, 1, 0]))
    pixels, classes = file.to_compare(manifest())
    assert levels(file.to_calibrate(manifest())) == [0, 40, 80, 120]
    assert (levels(pixels), classes.tolist()) == ([20, 60, 100], [0, 1, 1])
    assert levels(file.to_calibrate(manifest(), 2)) == [0, 120]
    pixels, classes = file.to_compare(manifest(), 2)
    assert (levels(pixels), classes.tolist()) == ([20, 100], [0, 1])


def test_classes_of_a_file_may_be_unknown(tmp_path) -> None:
    assert File(npz(tmp_path / "a.npz")).to_compare(manifest())[1] is None
    labelled = File(npz(tmp_path / "b.npz", labels=[0] * 6))
    assert labelled.to_compare(manifest(labels=("cat",)))[1] is None


@pytest.mark.parametrize("labels", [[0, 1, 2, 0, 0, 0], [0, 0, 0, 0, 0, -1]], ids=str)
def test_labels_of_a_file_are_those_of_the_network(labels, tmp_path) -> None:
    file = File(npz(tmp_path / "a.npz", labels=labels))
    with pytest.raises(ValueError, match=r"indices of the network's 2 labels, got (0..2|-1..0)"):
        file.to_compare(manifest())


BAD = {
    "no images": ({"images": np.zeros((0, 8, 8, 3))}, "needs two images.*got 0"),
    "one image": ({"images": np.zeros((1, 8, 8, 3))}, "needs two images.*got 1"),
    "flat": ({"images": np.zeros((9, 64))}, r"height, width, channels\], got float64 \[9, 64\]"),
    "text": ({"images": np.full((2, 8, 8, 3), "a")}, "must be numbers"),
    "objects": ({"images": np.full((2, 8, 8, 3), None)}, "cannot be read as an .npz file"),
    "few labels": ({"labels": [0, 1]}, r"one integer per image \[6\], got int64 \[2\]"),
    "names": ({"labels": ["a"] * 6}, "one integer per image"),
}


@pytest.mark.parametrize("case", BAD)
def test_arrays_that_are_not_images_and_labels_are_refused(case, tmp_path) -> None:
    arrays, words = BAD[case]
    with pytest.raises(ValueError, match=words):
        File(npz(tmp_path / "a.npz", **arrays))


def test_what_is_not_an_npz_file_is_refused(tmp_path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 8, 8, 3)))
    np.savez(tmp_path / "b.npz", pictures=np.zeros((2, 8, 8, 3)))
    damaged = npz(tmp_path / "c.npz", images=helpers.noise(4, SIZE, SIZE, 3))
    content = bytearray(damaged.read_bytes())
    content[300] ^= 255
    damaged.write_bytes(content)
    words = {"a.npy": "not an .npz", "b.npz": "no array named images", "c.npz": "cannot be read"}
    for name, word in words.items():
        with pytest.raises(ValueError, match=word):
            File(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        File(tmp_path / "d.npz")


def test_a_folder_has_to_be_there(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"must be in a directory, got .*absent"):
        Folder(tmp_path / "absent")


def test_a_folder_needs_two_images(tmp_path) -> None:
    grey(tmp_path / "a.png", 0)
    with pytest.raises(ValueError, match="needs two images"):
        Folder(tmp_path)


def test_channels_have_to_fit(folder) -> None:
    with pytest.raises(ValueError, match=r"\(1, 3, 4\) channels, not 5"):
        Folder(folder).to_calibrate(manifest(channels=5))


def test_classes_are_known_by_the_names_of_folders(tmp_path) -> None:
    for i, label in enumerate(["b", "a", "a", "b"]):
        grey(tmp_path / label / f"{i}.png", 20 * i)
    pixels, classes = Folder(tmp_path).to_compare(manifest())
    assert (levels(pixels), classes.tolist()) == ([40, 60], [0, 1])
    assert Folder(tmp_path).to_compare(manifest(labels=("night", "day")))[1] is None


def test_classes_of_imagenet_are_known_by_their_ids(tmp_path) -> None:
    ids, names = zip(*imagenet_labels(), strict=True)
    assert len(set(names)) < 1000  # two cranes: names alone do not tell
    for i, place in enumerate((7, 134, 517, 900)):
        grey(tmp_path / ids[place] / f"{i}.png", 20 * i)
    pixels, classes = Folder(tmp_path).to_compare(manifest(labels=names))
    known = {20 * i: place for i, place in enumerate((7, 134, 517, 900))}
    assert [known[level] for level in levels(pixels)] == classes.tolist()
