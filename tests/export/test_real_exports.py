"""Exports of a network that others trained reach its published accuracy, on all test images."""

import json
import re
from pathlib import Path

import pytest

from tests.support import helpers, predicting

pytestmark = pytest.mark.slow
PUBLISHED = 93.39  # akamaster's README, ResNet-56: 6.61 % error
# The least that a format has to keep of it.
FORMATS = {
    "tflite": ("model.tflite", PUBLISHED - 0.01),
    "tflite_fp16": ("model_fp16.tflite", 93.3),
    "tflite_dynamic": ("model_dynamic.tflite", 93.1),
    "tflite_int8": ("model_int8.tflite", 93.1),
}


@pytest.fixture(scope="module")
def exported(data_dir, tmp_path_factory) -> Path:
    """ResNet-56 of CIFAR-10 in every format, and the test images as `examples.npz`."""
    folder = tmp_path_factory.mktemp("real")
    weights = f"--weights={data_dir}/weights/akamaster/resnet56-4bfd9763.th"
    place = f"--data_dir={data_dir}/tfds"
    network = ["--network=resnet56", "--source=akamaster", weights]
    images = [f"--calibration_file={folder}/train.npz"]
    every = f"--formats=saved_model,onnx,openvino,{','.join(FORMATS)}"
    evaluate = ["train.evaluate", *network, "--dataset=cifar10", place]
    seen = ["--split=train", "--examples=1024", f"--examples_out={folder}/train.npz"]
    cases = [
        [*evaluate, *seen],
        ["keras_resnet.export", *network, *images, every, f"--out={folder}/float32/1"],
        [
            "keras_resnet.export",
            *network,
            "--precision=bfloat16",
            "--formats=saved_model",
            *images,
            f"--out={folder}/bfloat16/1",
        ],
        [*evaluate, f"--examples_out={folder}/examples.npz"],
    ]
    for done in helpers.modules(cases):
        assert done["code"] == 0, done["stderr"]
    assert json.loads(done["stdout"].splitlines()[-1])["top1"] == PUBLISHED
    return folder


def through_the_loader(exported: Path, precision: str) -> float:
    directory, examples = exported / precision / "1", exported / "examples.npz"
    done = helpers.python("-m", "tests.support.loaded_accuracy", str(directory), str(examples))
    assert done.returncode == 0, done.stderr
    right, count = json.loads(done.stdout)
    assert count == 10_000
    return 100 * right / count


def test_the_cpp_loader_computes_the_published_accuracy(exported):
    assert through_the_loader(exported, "float32") == PUBLISHED


def test_bfloat16_keeps_it(exported):
    assert through_the_loader(exported, "bfloat16") >= 93.3


@pytest.mark.parametrize("name", FORMATS)
def test_tflite_keeps_it(exported, name):
    file, least = FORMATS[name]
    found = predicting.accuracy(exported / "float32" / "1" / file, exported / "examples.npz")
    assert found[0] == 10_000
    assert found[1] >= least


def test_full_int8_is_at_least_3_3_times_smaller(exported):
    directory = exported / "float32" / "1"
    sizes = [(directory / file).stat().st_size for file in ("model.tflite", "model_int8.tflite")]
    assert sizes[0] >= 3.3 * sizes[1]


def test_the_report_was_measured_on_real_images(exported):
    found = json.loads((exported / "float32" / "1" / "report.json").read_text())
    assert re.fullmatch("512 images of .*/train.npz", found["images"])
    assert set(found["formats"]) == {"saved_model", "onnx", "openvino", *FORMATS}
    for name in ("saved_model", "tflite", "onnx", "openvino"):
        assert found["formats"][name]["relative"] < 1e-4
        assert found["formats"][name]["agreement"] == 100
