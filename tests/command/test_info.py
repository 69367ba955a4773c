"""`keras-resnet info` says what a file holds: of this package, of others, and of an export."""

import hashlib
import json

import pytest

from keras_resnet import counts, family
from tests.support import helpers


def info(*words: object) -> str:
    done = helpers.module("keras_resnet", "info", *map(str, words))
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(text: str) -> dict[str, str]:
    found = {}
    for line in text.splitlines():
        name, _, value = line.partition("  ")
        found[name] = value.strip()
    return found


def test_a_file_of_this_package(exported):
    out, model, manifest = exported
    file = out.parents[1] / "a.keras"
    found = rows(info(file))
    digits = hashlib.sha256(file.read_bytes()).hexdigest()
    assert (found["sha256"], found["written by"]) == (digits, "keras_resnet")
    assert found["network"] == "resnet20 with repeats=[2, 1]"
    trained = sum(weight.numpy().size for weight in model.trainable_weights)
    assert found["parameters"] == f"{trained:,}"
    assert found["images"] == "32x32, RGB"
    assert found["preprocessing"] == "(BGR - 103.939,116.779,123.68) / 1; bilinear to 32x32"
    assert found["classes"] == "7: class 0, class 1, class 2, ..., class 6"
    told = json.loads(info("--json", file))
    assert told["labels"] == list(manifest.labels)
    assert told["bytes"] == file.stat().st_size


def test_an_export(exported):
    out, *_ = exported
    found = rows(info(out / "model.tflite"))
    assert found["network"] == "resnet20 with repeats=[2, 1]"
    assert found["of weights"] == "a.keras"
    digits = hashlib.sha256((out / "model.tflite").read_bytes()).hexdigest()
    assert found["tflite"].split()[0::2] == ["model.tflite", digits[:12]]
    assert json.loads(info("--json", out))["files"]["tflite"]["sha256"] == digits


@pytest.mark.parametrize(
    ("file", "name", "value"),
    [
        ("akamaster/resnet20-12fca82f.th", "network", "resnet20 with zero_channels=around"),
        ("a-martyn/resnet20.pt", "undecided", "a file of a_martyn, which does not determine short"),
        ("mlcommons-tiny/pretrainedResnet.h5", "images", "32x32, RGB"),
    ],
)
def test_files_of_others(data_dir, file, name, value):
    assert rows(info(data_dir / "weights" / file))[name].startswith(value)


def test_no_export_is_one_line(data_dir, tmp_path):
    foreign = data_dir / "weights/mlcommons-tiny/pretrainedResnet.tflite"
    done = helpers.module("keras_resnet", "info", str(foreign))
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {foreign} has no model.json beside it, which says what")
    (tmp_path / "name/2").mkdir(parents=True)
    (tmp_path / "name/2/model.json").write_text("{}")
    done = helpers.module("keras_resnet", "info", f"{tmp_path}/name")
    assert done.stderr.splitlines()[-1].endswith(f"wrote, such as {tmp_path}/name/2")
    done = helpers.module("keras_resnet", "info", f"{tmp_path}/name/2")
    assert f"{tmp_path}/name/2/model.json is not that of an export" in done.stderr


def test_the_table_of_layers_has_the_sums_of_the_summary():
    done = helpers.module("keras_resnet", "cost", "resnet8", "--layers")
    assert done.returncode == 0, done.stderr
    *_, last = done.stdout.splitlines()
    parameters, multiply_adds = counts.total(family.FAMILY["resnet8"], (32, 32, 3), 10)
    assert last.split()[:3] == ["sum", f"{parameters:,}", f"{multiply_adds:,}"]
