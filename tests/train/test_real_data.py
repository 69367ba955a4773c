"""Real images through the whole house: CIFAR-10 as TFDS has it, and JPEGs of ImageNet."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_resnet import preprocessing
from tests.support import helpers, predicting, trees
from tests.support.helpers import last_line
from train import datasets
from train.augment.images import resized_crop
from train.recipes.data import Data, open_data

CIFAR10 = "--recipe=cifar10_resnet20"


@pytest.fixture(scope="module")
def cifar(data_dir) -> Data:
    """With the 5,000 images that the paper holds out, read once."""
    recipe = helpers.recipe(
        dataset="cifar10", image_size=32, preprocessing="per_pixel", validation=5000
    )
    return open_data(recipe, str(data_dir / "tfds"))


def test_cifar10_is_whole(cifar):
    sizes = {split: examples.size for split, examples in cifar.splits.items()}
    assert sizes == {"train": 45_000, "validation": 5_000, "test": 10_000}
    counts = {}
    for split, examples in cifar.splits.items():
        assert examples.channels == 3
        decoded = examples.elements(None).map(examples.decode).batch(examples.size)
        _, labels = next(iter(decoded))
        counts[split] = np.bincount(labels)
    np.testing.assert_array_equal(counts["train"] + counts["validation"], [5000] * 10)
    np.testing.assert_array_equal(counts["test"], [1000] * 10)


def test_cifar10_has_its_known_mean_colour(cifar):
    """(125.3, 123.0, 113.9), as in fb.resnet.torch, datasets/cifar10.lua, of all 50,000."""
    mean = np.asarray(cifar.preprocessing.mean)
    assert mean.shape == (32, 32, 3)
    np.testing.assert_allclose(mean.mean((0, 1)), (125.3, 123.0, 113.9), atol=0.2)


def losses(workdir: Path) -> list[float]:
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if line["split"] == "train"]


@pytest.mark.slow
def test_cifar10_trains_on_two_replicas_in_bfloat16(data_dir, tmp_path):
    place = f"--data_dir={data_dir / 'tfds'}"
    devices = ["--strategy=mirrored", "--replicas=2", "--precision=bfloat16"]
    tiny = [helpers.TINY, "--steps=40", "--log_every=10", f"--workdir={tmp_path}"]
    result = last_line(helpers.module("train", CIFAR10, place, *devices, *tiny))
    assert losses(tmp_path)[-1] < 0.9 * losses(tmp_path)[0]
    weights = f"--weights={tmp_path}/final.keras"
    evaluated = last_line(helpers.module("train.evaluate", weights, "--dataset=cifar10", place))
    assert evaluated["examples"] == result["examples"] == 10_000
    # Evaluation computes in float32 what the run measured in bfloat16.
    assert evaluated["top1"] == pytest.approx(result["top1"], abs=2)
    assert evaluated["loss"] == pytest.approx(result["loss"], rel=0.05)


@pytest.fixture(scope="module")
def jpegs(data_dir, tmp_path_factory) -> Path:
    """ImageNet as a folder of classes: each image under two ids, all of the same ten classes."""
    folder = tmp_path_factory.mktemp("imagenet")
    source = data_dir / "imagenet_mini"
    with (source / "labels.csv").open() as lines:
        for i, row in enumerate(csv.DictReader(lines)):
            place = folder / f"class{i % 10}"
            place.mkdir(exist_ok=True)
            (place / row["file"]).symlink_to(source / "images" / row["file"])
    return folder


def held_out(jpegs: Path) -> int:
    """How many images are for testing, by a rule written down a second time."""
    classes = [[f"{c.name}/{f.name}".encode() for f in c.iterdir()] for c in jpegs.iterdir()]
    return sum(len(trees.held_out(files)) for files in classes)


def test_real_jpegs_decode_as_their_list_says(jpegs, data_dir):
    with (data_dir / "imagenet_mini" / "labels.csv").open() as lines:
        sizes = sorted((int(r["height"]), int(r["width"])) for r in csv.DictReader(lines))
    found = []
    held = held_out(jpegs)
    for split, size in (("train", len(sizes) - held), ("test", held)):
        examples = datasets.load("folder", split, str(jpegs))
        assert examples.size == size
        decoded = examples.elements(None).map(examples.decode)
        found += [tuple(map(int, image.shape[:2])) for image, _ in decoded]
    assert sorted(found) == sizes


@pytest.mark.parametrize("augmentation", ["random_resized_crop", "scale_jitter"])
def test_real_jpegs_go_through(jpegs, augmentation):
    recipe = helpers.recipe(augmentation=augmentation, image_size=64, preprocessing="caffe")
    examples = datasets.load("folder", "train", str(jpegs))
    change = helpers.augmentation(recipe, preprocessing.mode("caffe", image_size=64))
    paths = examples.elements(None).take(16)
    images = [
        change(examples.decode(e)[0], tf.constant([0, i], tf.int64)) for i, e in enumerate(paths)
    ]
    assert {tuple(image.shape) for image in images} == {(64, 64, 3)}
    assert np.isfinite(images).all()
    assert np.min([np.std(image) for image in images]) > 5


def test_random_crops_are_nearly_those_of_pillow(jpegs):
    """Nearer than interpolation without antialiasing, in levels of 255."""
    ours: dict[bool, list[float]] = {True: [], False: []}  # by whether the crop is enlarged
    plain: dict[bool, list[float]] = {True: [], False: []}
    for i, file in enumerate(sorted(jpegs.glob("*/*"))[:60]):
        photo = np.asarray(Image.open(file).convert("RGB"))
        view = resized_crop(tf.constant([0, i], tf.int64), 224, tf.constant(photo.shape[:2]))
        top, left, height, width = np.asarray(view.window)
        crop = photo[top : top + height, left : left + width]
        expected = np.float32(Image.fromarray(crop).resize((224, 224), Image.Resampling.BILINEAR))
        enlarged = bool(min(height, width) < 224)
        ours[enlarged].append(np.abs(np.float32(view.finish(crop)) - expected).mean())
        plain[enlarged].append(np.abs(tf.image.resize(crop, (224, 224)) - expected).mean())
    assert min(len(ours[True]), len(ours[False])) >= 10
    assert np.mean(ours[False]) < 1.5
    assert np.mean(ours[False]) < 0.6 * np.mean(plain[False])
    assert np.mean(ours[True]) < 0.5


def test_imagenet_recipe_on_a_folder(jpegs, tmp_path):
    size = ["--image_size=64", "--batch_size=16", "--steps=2", "--log_every=1"]
    place = ["--dataset=folder", f"--data_dir={jpegs}", f"--workdir={tmp_path}"]
    result = last_line(helpers.module("train", "--recipe=imagenet_resnet18", *size, *place))
    assert result["examples"] == held_out(jpegs)
    assert np.isfinite(losses(tmp_path)).all()


@pytest.mark.slow
def test_cifar10_killed_and_resumed_learns_and_is_served(data_dir, tmp_path):
    place = f"--data_dir={data_dir / 'tfds'}"
    command = ["train", CIFAR10, place, "--steps=400", "--save_every=50"]
    command += ["--log_every=10", f"--workdir={tmp_path}/run"]
    with subprocess.Popen(
        [sys.executable, "-m", *command], cwd=helpers.ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert any(line.startswith("step 120/") for line in process.stdout)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    done = helpers.module(*command)
    assert last_line(done)["top1"] > 40
    assert "step 50/" not in done.stdout
    weights = f"--weights={tmp_path}/run/final.weights.h5"
    examples = f"{tmp_path}/test.npz"
    arguments = [weights, "--dataset=cifar10", place, f"--examples_out={examples}"]
    evaluated = last_line(helpers.module("train.evaluate", *arguments))
    out = f"{tmp_path}/cifar10/1"
    assert helpers.module("keras_resnet.export", weights, f"--out={out}").returncode == 0
    count, top1 = predicting.accuracy(out, Path(examples))
    assert count == 10_000
    assert top1 == pytest.approx(evaluated["top1"], abs=0.02)
