"""Images that cannot be decoded are told by name and left out; nothing else changes."""

import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.preprocessing import Preprocessing
from keras_resnet.preprocessing.views import Look, whole
from tests.support import damages, helpers
from train import datasets
from train.datasets import records
from train.datasets.batches import eval_batches
from train.datasets.decoding import Broken, TooManyBroken, decoded, noting, watched
from train.datasets.examples import Examples, indices
from train.datasets.mean_image import mean_image
from train.recipes import plan
from train.recipes.data import open_data

PLAIN = Preprocessing(image_size=8, crop=1.0)
BATCH = 8
STEPS = 9  # three epochs of 24 images


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> tuple[Path, Path, list[str]]:
    return damages.folders(tmp_path_factory.mktemp("folders"))


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> tuple[str, str, list[str]]:
    return damages.tfds_sets(tmp_path_factory.mktemp("sets"))


@pytest.fixture(params=["folder", "records in memory", "records on disk"])
def pair(request, folders, sets, monkeypatch) -> tuple[Examples, Examples, list[str]]:
    """Whole examples, the same with some damaged, and the names of those."""
    name = "folder" if request.param == "folder" else "shapes"
    whole, damaged, names = folders if name == "folder" else sets
    if request.param == "records on disk":
        monkeypatch.setattr(records, "IN_MEMORY_BYTES", 0)
    return *(datasets.load(name, "train", str(place)) for place in (whole, damaged)), names


def batches(examples: Examples, first: int = 0, broken: Broken | None = None) -> list:
    recipe = helpers.recipe(batch_size=BATCH, augmentation="random_resized_crop")
    stream = plan.train_batches(examples, recipe, PLAIN, first, broken=broken)
    return list(watched(stream.take(STEPS - first).as_numpy_iterator(), broken))


def test_all_other_positions_stay_as_they_were(pair):
    whole, damaged, names = pair
    expected = batches(whole)
    actual = batches(damaged)
    weights = np.concatenate([w for *_, w in actual])
    assert [(weights[i : i + 24] == 0).sum() for i in (0, 24, 48)] == [len(names)] * 3
    for (x, y, w), (a, b, c) in zip(expected, actual, strict=True):
        assert (w == 1).all()
        np.testing.assert_array_equal(b[c == 1], y[c == 1])
        np.testing.assert_array_equal(a[c == 1], x[c == 1])
    for whole_row, late_row in zip(actual[2:], batches(damaged, 2), strict=True):
        for expected_part, part in zip(whole_row, late_row, strict=True):
            np.testing.assert_array_equal(part, expected_part)


def test_each_is_told_once_by_name(pair, capsys):
    _, damaged, names = pair
    broken = Broken(len(names))
    batches(damaged, broken=broken)
    lines = [line for line in capsys.readouterr().out.splitlines() if "broken image" in line]
    assert {line.split(": ")[0] for line in lines} == {f"broken image {name}" for name in names}
    ends = [line.rsplit("; ", 1)[1] for line in lines]
    assert ends == [f"left out, {i + 1} so far" for i in range(len(names))]


def test_one_too_many_is_an_error(pair):
    _, damaged, names = pair
    broken = Broken(len(names) - 1)
    count = f"^{len(names)} images cannot be decoded, max_broken is {len(names) - 1};"
    with pytest.raises(TooManyBroken, match=count) as caught:
        batches(damaged, broken=broken)
    assert any(str(caught.value).endswith(name) for name in names)


def test_a_mean_image_is_of_whole_ones(pair):
    whole, damaged, names = pair
    broken = Broken(len(names))
    mean = mean_image(damaged, PLAIN, broken)
    rows = helpers.arrays(rows_of(damaged, PLAIN.view))
    images = [whole.decode(e)[0] for e in whole.elements(None)]
    kept = [PLAIN.resize(x) for x, (*_, weight) in zip(images, rows, strict=True) if weight]
    assert len(kept) == 24 - len(names) == 24 - len(broken.names)
    np.testing.assert_allclose(mean, np.mean(kept, 0), atol=1e-3)


def test_a_mean_image_of_nothing_is_an_error(folders):
    examples = datasets.load("folder", "train", str(folders[1]))
    nothing = replace(examples, decode=lambda i, look=whole: examples.decode(i + 10_000, look))
    with pytest.raises(ValueError, match="none of the images"):
        mean_image(nothing, PLAIN)


def rows_of(examples: Examples, look: Look) -> tf.data.Dataset:
    """Lists (position, image, label, weight)."""

    def decode(_: tf.Tensor, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return examples.decode(index, look)

    return decoded(stream(examples), 7, decode, noting(examples, None)).unbatch()


def stream(examples: Examples) -> tf.data.Dataset:
    return tf.data.Dataset.zip(tf.data.Dataset.range(examples.size), examples.elements(None))


def test_only_whole_images_are_counted(folders):
    examples = datasets.load("folder", "test", str(folders[1]))
    found = helpers.arrays(eval_batches(examples, PLAIN, 4, broken=Broken(1)))
    images, counts = (np.concatenate([batch[i] for batch in found]) for i in (0, 2))
    assert counts.sum() == 8
    broken = (images == 0).all((1, 2, 3))
    assert broken.sum() >= 1
    np.testing.assert_array_equal(counts, ~broken & (np.arange(12) < 9))


def test_order_is_that_of_the_stream():
    """However long each takes, and whether or not it fails."""

    def slow(index: np.ndarray) -> np.ndarray:
        time.sleep(0.02 * (index % 5 == 0))
        if index % 7 == 3:
            raise ValueError("broken")
        return np.int64(index)

    def decode(index: tf.Tensor, look: Look) -> tuple[tf.Tensor, tf.Tensor]:
        label = tf.ensure_shape(tf.numpy_function(slow, [index], tf.int64), [])
        return tf.zeros([2, 2, 1], tf.uint8), label

    examples = Examples(300, ("a",), 1, indices(300), decode)
    rows = helpers.arrays(rows_of(examples, whole))
    assert [int(position) for position, *_ in rows] == list(range(300))
    expected = [(0, 0) if i % 7 == 3 else (i, 1) for i in range(300)]
    assert [(int(label), int(weight)) for *_, label, weight in rows] == expected


@pytest.mark.parametrize("change", ["between records", "within a record", "flipped bit"])
@pytest.mark.parametrize("place", ["memory", "disk"])
def test_a_damaged_file_of_records_is_an_error(tmp_path, monkeypatch, change, place):
    """Not a smaller set: the positions of all others would shift."""
    if place == "disk":
        monkeypatch.setattr(records, "IN_MEMORY_BYTES", 0)
    helpers.tfds_set(tmp_path, {"train": 24, "test": 9})
    shard = next(tmp_path.rglob("*train.tfrecord*"))
    data = shard.read_bytes()
    length = 16 + int.from_bytes(data[:8], "little")  # of the first record, with its checksums
    change_of = {
        "between records": data[length:],
        "within a record": data[:-20],
        "flipped bit": data[:100] + bytes([data[100] ^ 1]) + data[101:],
    }
    shard.write_bytes(change_of[change])
    with pytest.raises(ValueError, match=r"^a file of records is damaged: "):
        open_data(helpers.recipe(dataset="shapes", preprocessing="per_pixel"), str(tmp_path))


@pytest.mark.slow
def test_watching_for_broken_images_takes_little_time(data_dir, tmp_path):
    """Against a plain map, on real JPEGs, in seconds of the processor."""
    for i, file in enumerate(sorted((data_dir / "imagenet_mini" / "images").glob("*"))):
        (tmp_path / "train" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, tmp_path / "train" / "ab"[i % 2])
    shutil.copytree(tmp_path / "train", tmp_path / "test")
    watched = datasets.load("folder", "train", str(tmp_path))
    view = Preprocessing().view
    taken: dict[str, list[float]] = {"watched": [], "plain": []}
    for name, times in taken.items():
        for _ in range(5):
            rows = stream(watched).repeat(4)

            def decode(_: tf.Tensor, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                return watched.decode(index, view)

            if name == "watched":
                images = decoded(rows, 10, decode, noting(watched, Broken())).map(
                    lambda *row: row[2]
                )
            else:
                images = rows.map(decode, tf.data.AUTOTUNE).map(lambda *row: row[1]).batch(10)
            start = time.process_time()
            assert len(helpers.arrays(images)) == 100
            times.append(time.process_time() - start)
    assert min(taken["watched"]) < 1.15 * min(taken["plain"]), taken
