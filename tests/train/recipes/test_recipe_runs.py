"""Recipes on real images: each row of ImageNet takes a few steps, in the layout that TFDS has."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from tests.support import helpers
from train.recipes.imagenet import IMAGENET

# Between them they have nearly every option of the table.
QUICK = ["imagenet_resnet50_torchvision2"]
OTHERS = [name for name in IMAGENET if name not in QUICK]


@pytest.fixture(scope="module")
def imagenet(data_dir, tmp_path_factory) -> Path:
    """Writes 40 and 10 photographs as `imagenet2012` of TFDS; returns its data_dir."""
    import tensorflow_datasets as tfds

    source = data_dir / "imagenet_mini"
    with (source / "labels.csv").open() as lines:
        rows = [
            {
                "image": (source / "images" / row["file"]).read_bytes(),
                "label": row["class_index"],
                "file_name": row["file"],
            }
            for row in csv.DictReader(lines)
        ][::5]
    rows = [{**row, "label": int(row["label"])} for row in rows]
    features = {
        "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
        "label": tfds.features.ClassLabel(num_classes=1000),
        "file_name": tfds.features.Text(),
    }
    folder = tmp_path_factory.mktemp("imagenet")
    splits = {"train": rows[:40], "validation": rows[40:]}
    helpers.write_tfds(folder, "imagenet2012", features, splits, version="5.1.0")
    return folder


def flags(name: str, imagenet: Path, workdir: Path) -> list[str]:
    """Two steps of a row, at a size that is quick, and with a network that is."""
    size = 64 if IMAGENET[name].test_size else 0
    place = [f"--recipe={name}", f"--data_dir={imagenet}", f"--workdir={workdir}"]
    short = ["--batch_size=8", "--steps=2", "--log_every=1", "--warmup_steps=0"]
    return [*place, *short, "--image_size=48", f"--test_size={size}", "--network=resnet18"]


@pytest.mark.parametrize(
    "names", [QUICK, pytest.param(OTHERS, marks=pytest.mark.slow)], ids=["quick", "others"]
)
def test_rows_of_imagenet_take_steps_and_measure_all_images(imagenet, tmp_path, names):
    cases = [["train", *flags(name, imagenet, tmp_path / name)] for name in names]
    done = dict(zip(names, helpers.modules(cases), strict=True))
    for name, result in done.items():
        assert result["code"] == 0, f"{name}: {result['stderr']}"
        metrics = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        lines = [json.loads(line) for line in metrics]
        assert [line["split"] for line in lines] == ["train", "train", "test"], name
        assert np.isfinite([line["loss"] for line in lines]).all(), name
        assert json.loads(result["stdout"].splitlines()[-1])["examples"] == 10, name
