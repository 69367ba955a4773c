"""What the export refuses, before it computes anything, and in one line."""

from dataclasses import replace

import numpy as np
import pytest

from keras_resnet import weights
from keras_resnet.export import job
from tests.support import exporting, helpers

USE_A_FILE = (
    "write images with `python -m train.evaluate --split=train --examples=1024"
    " --examples_out=FILE.npz` and give --calibration_file=FILE.npz"
)
CASES = {
    "format": (["--formats=saved_model,tensorrt"], "tensorrt"),
    "no format": (["--formats="], "formats must be of saved_model, tflite"),
    "precision": (["--precision=float16"], "float16"),
    "int8 without images": (["--formats=tflite_int8"], "--calibration_dir or --calibration_file"),
    "two kinds of images": (
        ["--calibration_dir=.", "--calibration_file=a.npz"],
        "give --calibration_dir or --calibration_file, not both: got . and a.npz",
    ),
    "no directory": (["--calibration_dir=/nowhere"], "/nowhere"),
    "no images": (["--calibration_dir=keras_resnet/export"], "needs two images"),
    "no file": (["--calibration_file=/nowhere.npz"], "/nowhere.npz"),
    "other channels": (["--calibration_file=FOLDER/grey.npz"], "(n, 32, 32, 3), got (1, 8, 8, 1)"),
    "removed data set": (
        ["--calibration_dataset=cifar10"],
        f"error: --calibration_dataset was removed: {USE_A_FILE}",
    ),
    "removed place": (["--data_dir", "."], f"error: --data_dir was removed: {USE_A_FILE}"),
    "two networks": (
        ["--weights=nowhere.keras"],
        "--weights is given 2 times, and must be given once: only evaluations take several",
    ),
    "two names": (
        ["--network=resnet20", "--network=resnet20"],
        "--network is given 2 times for 1 --weights",
    ),
    "existing": (["--out=."], "exists; export a new version beside it"),
    "no version": (
        ["--out=nowhere/v1"],
        "nowhere/v1 is not NAME/VERSION: TensorFlow Serving",
    ),
    "features of nothing": (
        ["--tflite_features", "--formats=onnx"],
        "tflite_features needs a format of TFLite, got ['onnx']",
    ),
}


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> dict[str, dict]:
    folder = tmp_path_factory.mktemp("refusals")
    model, manifest = exporting.network("resnet20")
    weights.save(model, folder / "a.keras", manifest)
    places = [f"--weights={folder}/a.keras", f"--out={folder}/new/1"]
    np.savez(folder / "grey.npz", images=helpers.noise(2, 8, 8, 1))
    told = [[word.replace("FOLDER", str(folder)) for word in words] for words, _ in CASES.values()]
    cases = [["keras_resnet.export", *places, *arguments] for arguments in told]
    answers = helpers.modules(cases)
    assert not (folder / "new").exists()
    return dict(zip(CASES, answers, strict=True))


@pytest.mark.parametrize("case", CASES)
def test_it_says_what_is_wrong(done, case):
    answer, reason = done[case], CASES[case][1]
    assert answer["code"] == 1
    assert reason in answer["stderr"]
    assert "Traceback" not in answer["stderr"]


@pytest.mark.parametrize(
    ("formats", "precision"),
    [(["tflite"], "float32"), (["onnx"], "float32"), (["saved_model"], "bfloat16")],
)
def test_networks_that_round_leave_as_int8_only(formats, precision):
    _, manifest = exporting.network("resnet20")
    with pytest.raises(ValueError, match="tflite_int8 and saved_model, not as"):
        job.Job(formats, precision).check(replace(manifest, quantized="int8"), calibrated=True)


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for name, extra in {"saved_model": "serving", "tflite": "serving", "onnx": "onnx"}.items():
        with pytest.raises(ValueError, match=rf"pip install 'he-keras-resnet\[{extra}\]'"):
            job.Job([name])
