"""Training, evaluation and calibration see the pixels of every kind of file, or say why not."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.export.calibration import Folder
from keras_resnet.manifest import Manifest
from keras_resnet.preprocessing import Preprocessing
from tests.support import helpers, pictures
from train import datasets
from train.datasets.batches import eval_batches
from train.datasets.decoding import Broken, watched
from train.datasets.examples import Examples
from train.evaluate import save_examples

PLAIN = Preprocessing(image_size=pictures.SIDE, crop=1.0)
INKS = 1  # levels that CMYK may be off: Pillow rounds its products once more


def name_of(path: bytes | str) -> str:
    return Path(path.decode() if isinstance(path, bytes) else path).name.removesuffix(".png.png")


def stored(name: str) -> str:
    """What a file holds decides, not its suffix."""
    return name if name.endswith((".jpg", ".png")) else f"{name}.png.png"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    contents = pictures.FILES | {name: data for name, (data, _) in pictures.REFUSED.items()}
    for split in ("train", "test"):
        for i, (name, data) in enumerate(contents.items()):
            place = root / split / "ab"[i % 2]
            place.mkdir(parents=True, exist_ok=True)
            (place / stored(name)).write_bytes(data)
    return root


def names(examples: Examples) -> list[str]:
    return [name_of(examples.name(element).numpy()) for element in examples.elements(None)]


def compare(name: str, image: np.ndarray) -> None:
    off = np.abs(image.astype(np.float32) - pictures.PIXELS[name]).max()
    assert off <= (INKS if name in pictures.INKS else 0), (name, off)


def test_examples_of_a_folder_have_the_pixels(folder):
    examples = datasets.load("folder", "train", str(folder))
    decode = tf.function(examples.decode)
    found = dict(zip(names(examples), examples.elements(None), strict=True))
    assert set(found) == set(pictures.FILES) | set(pictures.REFUSED)
    for name in pictures.FILES:
        compare(name, decode(found[name])[0].numpy())


def test_an_evaluation_sees_the_pixels_and_tells_the_reasons(folder, capsys):
    examples = datasets.load("folder", "test", str(folder))
    broken = Broken(len(pictures.REFUSED))
    batches = eval_batches(examples, PLAIN, 8, broken=broken)
    rows = [row for batch in watched(batches, broken) for row in zip(*batch, strict=True)]
    for name, (image, _, weight) in zip(names(examples), rows, strict=False):
        assert float(weight) == (name in pictures.FILES)
        if name in pictures.FILES:
            compare(name, image.numpy())
    lines = capsys.readouterr().out.splitlines()
    told = {name_of(line.split(": ")[0]): line.split(": ", 1)[1] for line in lines}
    assert set(told) == set(pictures.REFUSED)
    for name, (_, reason) in pictures.REFUSED.items():
        assert reason in told[name]
        assert "tf.Tensor" not in told[name]
        assert len(told[name].split("; left out")[0]) > 10


def test_calibration_sees_the_pixels_and_tells_of_the_others(folder, caplog):
    manifest = Manifest("resnet20", (pictures.SIDE, pictures.SIDE, 3), ("a", "b"), PLAIN)
    images = Folder(folder / "train")
    seen = [*images.to_calibrate(manifest), *images.to_compare(manifest)[0]]
    expected = np.stack(list(pictures.PIXELS.values())).astype(np.float32)
    for image in seen:
        assert np.abs(expected - image).max((1, 2, 3)).min() <= INKS
    told = {name_of(word) for record in caplog.records for word in record.getMessage().split()}
    left_out = told & (set(pictures.FILES) | set(pictures.REFUSED))
    assert len(seen) + len(left_out) == len(pictures.FILES) + len(pictures.REFUSED)


NOISE = helpers.noise(4, 8, 8, 3)


def test_broken_records_are_not_written_as_examples(tmp_path, capsys):
    import tensorflow_datasets as tfds

    features = {
        "image": tfds.features.Tensor(shape=(8, 8, 3), dtype=np.float32),
        "label": tfds.features.ClassLabel(names=["a", "b"]),
    }
    rows = [{"image": (x / 255).astype(np.float32), "label": 0} for x in NOISE]
    strange = {"image": rows[0]["image"] * 200, "label": 0}
    helpers.write_tfds(tmp_path, "shapes", features, {"train": rows, "test": [*rows, strange]})
    examples = datasets.load("shapes", "test", str(tmp_path))
    save_examples(examples, helpers.PLAIN, f"{tmp_path}/test.npz", Broken(1))
    with np.load(tmp_path / "test.npz") as file:
        found = file["images"]
    assert {x.astype(np.uint8).tobytes() for x in found} == {x.tobytes() for x in NOISE}
    assert "where the first images have 0 to 1" in capsys.readouterr().out
