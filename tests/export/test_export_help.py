"""The export's command line where nothing more than the library is installed."""

import json
from pathlib import Path

import pytest

from keras_resnet import weights
from tests.support import exporting, helpers

EXTRAS = ("ai_edge_litert", "tensorflow_serving", "onnx", "onnxruntime", "tf2onnx", "openvino",
          "tensorflow_datasets", "sklearn")  # fmt: skip
# Python runs this file by itself; as None a module is one that is not installed.
BLOCKED = f"import sys\nsys.modules.update(dict.fromkeys({EXTRAS}))\n"


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> Path:
    """A folder for PYTHONPATH, and a small network in it."""
    folder = tmp_path_factory.mktemp("bare")
    (folder / "sitecustomize.py").write_text(BLOCKED)
    model, manifest = exporting.network("resnet20", repeats=[1, 1])
    weights.save(model, folder / "a.keras", manifest)
    return folder


def run(bare: Path, *arguments: str):
    places = [f"--weights={bare}/a.keras", f"--out={bare}/name/1"]
    command = ["-m", "keras_resnet.export", *places, *arguments]
    done = helpers.python(*command, PYTHONPATH=str(bare))
    assert "Traceback" not in done.stderr
    assert not (bare / "name").exists()
    return done


def test_help_needs_no_extra(bare):
    done = helpers.python("-m", "keras_resnet.export", "--help", PYTHONPATH=str(bare))
    assert "Traceback" not in done.stderr
    assert "--[no]tflite_features" in done.stdout
    assert "--calibration_dir" in done.stdout
    assert "--weights" in done.stdout  # of the flags that other commands share


NEEDED = {
    "tflite": "tflite needs ai-edge-litert: pip install 'he-keras-resnet[serving]'",
    "tflite_int8": "tflite_int8 needs ai-edge-litert: pip install 'he-keras-resnet[serving]'",
    "saved_model": "saved_model needs tensorflow-serving-api: pip install"
    " 'he-keras-resnet[serving]'",
    "onnx": "onnx needs onnx, onnxruntime, tf2onnx: pip install 'he-keras-resnet[onnx]'",
    "openvino": "openvino needs openvino: pip install 'he-keras-resnet[openvino]'",
}


@pytest.mark.parametrize("name", NEEDED)
def test_a_missing_extra_is_one_line_that_names_the_format(bare, name):
    done = run(bare, f"--formats={name}")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"error: {NEEDED[name]}"


def test_a_word_that_is_no_flag_is_refused(bare):
    done = run(bare, "calibration_dir=photos")
    assert done.returncode == 1
    expected = "error: flags begin with --, got 'calibration_dir=photos'; see --help"
    assert done.stderr.splitlines()[-1] == expected


def test_the_library_is_imported_without_extras(bare):
    code = "import json, keras_resnet.export.job as job; print(json.dumps(sorted(job.FORMATS)))"
    done = helpers.python("-c", code, PYTHONPATH=str(bare))
    assert done.returncode == 0, done.stderr
    assert "tflite" in json.loads(done.stdout)
