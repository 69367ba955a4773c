"""Which files below a folder are images: by suffix or content, for all parts of the project."""

import io
import os
from pathlib import Path

import pytest
import tensorflow as tf

from keras_resnet.preprocessing import decoding, image_files, image_kinds
from saved_models.serving.client import files as client
from tests.support import trees
from tests.support.helpers import ROOT

IMAGES = ["b.JPG", "a/b.jpeg", "a/c.jfif", "a/d.jpe", "a.b/e.webp", "z/y/f.bmp", "z/y/g.dib"]
IMAGES += ["h.gif", "a/a.png", "a b/i.png"]
CONTENT = {"photo": "JPEG", "a/photo.dat": "PNG", "c.jpg_large": "JPEG", "w.tmp": "WEBP"}
CONTENT |= {"x.b": "BMP", "y.g": "GIF", "really_a_png.tif": "PNG"}
HIDDEN = [".DS_Store", "a/._b.jpeg", "a/Thumbs.db", "DESKTOP.INI"]
HIDDEN_FOLDERS = [".git/x.png", "__MACOSX/a/b.png", "a/@eaDir/b.png", "lost+found/x.png"]
OTHERS = ["notes.txt", "a/labels.csv", "a/empty", "jpg"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    trees.plant(root, [*IMAGES, *HIDDEN, *HIDDEN_FOLDERS])
    for name, kind in CONTENT.items():
        trees.plant(root, [name], trees.picture(kind))
    trees.plant(root, OTHERS, b"BMW is a car")
    trees.plant(root, ["a/empty"], b"")
    trees.plant(root, ["scan.tif", "a/scan.TIFF"], trees.picture("TIFF"))
    trees.plant(root, ["drawing"], b'<?xml version="1.0"?>\n<svg xmlns="...">')
    trees.plant(root, ["phone"], b"\0\0\0\x24ftypheic\0\0\0\0mif1heic")
    for folder in ("none", "a/none/within"):
        (root / folder).mkdir(parents=True)
    os.mkfifo(root / "a" / "pipe")
    os.mkfifo(root / "a" / "pipe.png")
    (root / "gone.png").symlink_to("/no/such/file")
    (root / "itself").symlink_to(root / "itself")
    (root / "a" / "up").symlink_to(root)
    outside = trees.plant(tmp_path_factory.mktemp("outside"), ["k.png"])
    (root / "linked").symlink_to(outside)
    (root / "l.png").symlink_to(outside / "k.png")
    return root


EXPECTED = {*IMAGES, *CONTENT, "linked/k.png", "l.png"}


def test_images_are_known_by_suffix_or_content(tree):
    found = image_files.find(tree)
    assert set(found.files) == EXPECTED
    assert [tree / file for file in found.files] == sorted(tree / file for file in EXPECTED)


def test_all_else_is_counted_with_its_reason(tree):
    counts = {reason.many: n for reason, n in image_files.find(tree).left_out.counts.items()}
    assert counts == {
        "hidden files": 4,
        "hidden folders": 4,
        "files that are not images": 4,
        "TIFF files": 2,
        "SVG files": 1,
        "HEIC files": 1,
        "folders without images": 2,
        "pipes, sockets or devices": 2,
        "links that lead nowhere": 2,
        "links to folders that contain them": 1,
    }
    told = str(image_files.find(tree).left_out)
    for words in (
        "2 TIFF files (a/scan.TIFF, scan.tif; not supported: convert to PNG)",
        "4 files that are not images (a/empty, a/labels.csv, jpg, ...)",
        "2 folders without images (a/none, none)",
        "1 HEIC file (phone; not supported: convert to PNG)",
    ):
        assert words in told


def test_what_is_called_an_image_is_not_opened(tree, tmp_path, monkeypatch):
    """A million files have to be listed in seconds."""
    trees.plant(tmp_path, IMAGES)

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("opened")

    monkeypatch.setattr("builtins.open", forbidden)
    monkeypatch.setattr(Path, "open", forbidden)
    assert set(image_files.find(tmp_path).files) == set(IMAGES)


@pytest.mark.parametrize("kind", trees.KINDS)
def test_kinds_are_those_that_pillow_writes(kind):
    data = trees.picture(kind)
    assert image_kinds.kind_of(data[: image_kinds.HEAD]) == trees.KINDS[kind]
    if trees.KINDS[kind] in image_kinds.READ:
        assert decoding.decode(tf.constant(data), 3).shape == (8, 8, 3)
    else:
        with pytest.raises(tf.errors.InvalidArgumentError):
            decoding.decode(tf.constant(data), 3)


@pytest.mark.parametrize("kind", ["ICO", "JPEG2000", "PPM", "DDS"])
def test_kinds_that_cannot_be_decoded_have_names(kind):
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, kind)
    named = image_kinds.kind_of(file.getvalue()[: image_kinds.HEAD])
    assert named
    assert named not in image_kinds.READ


def test_avif_has_a_name():
    """By its first box, ISO/IEC 14496-12, with the brand of AVIF; not every Pillow writes one."""
    assert image_kinds.kind_of(b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf") == "AVIF"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"B",
        b"BM",
        b"BMW is a car that has four wheels",
        b"GIF",
        b"II",
        b"RIFF1234WAVE",
        b"<html>",
        b"P1",
        b"P1x",
    ],
)
def test_text_is_no_image(text):
    assert image_kinds.kind_of(text) == ""


def test_the_client_decides_alike(tree):
    sent = {str(path.relative_to(tree)) for path in client.walk([tree])}
    named = {"scan.tif", "a/scan.TIFF", "drawing", "phone"}  # told of, and not sent
    broken = {"gone.png", "a/pipe.png"}
    assert sent == EXPECTED | named | broken
    refused = {}
    for name in sent:
        try:
            client.read(tree / name)
        except OSError as error:
            refused[name] = str(error)
    gif_and_bmp = {"y.g": "a GIF file", "x.b": "a BMP file"}
    assert refused.keys() == named | broken | gif_and_bmp.keys()
    for name, words in gif_and_bmp.items():
        assert refused[name].startswith(f"{words}; the server takes JPEG, PNG, WebP")


def test_client_and_package_have_the_same_table():
    own = ROOT / "keras_resnet" / "preprocessing" / "image_kinds.py"
    copy = ROOT / "saved_models" / "serving" / "client" / "image_kinds.py"
    assert copy.read_text() == own.read_text()


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path, monkeypatch):
    """As root, who runs some tests, may read every folder, the system call fails in its place."""
    trees.plant(tmp_path, ["a/x.png", "b/x.png"])
    scan = os.scandir

    def refusing(path: str) -> object:
        if str(path).endswith("b"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(ValueError, match=r"the folder .*/b cannot be read: Permission denied"):
        image_files.find(tmp_path)


def test_names_are_printed_in_one_line():
    assert image_files.printable(os.fsdecode(b"caf\xe9\n\x1b[0m.png")) == "caf\\xe9\\n\\x1b[0m.png"
    assert image_files.printable("Äpfel 日本.png") == "Äpfel 日本.png"
