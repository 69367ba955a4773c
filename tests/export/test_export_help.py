"""The export's command line where nothing more than the library is installed."""

import json
from pathlib import Path

import pytest

from keras_resnet import weights
from tests.support import exporting, helpers

EXTRAS = (
    "ai_edge_litert",
    "tensorflow_serving",
    "onnx",
    "onnxruntime",
    "tf2onnx",
    "openvino",
    "tensorflow_datasets",
    "sklearn",
)
# Python runs this file by itself; as None a module is one that is not installed.
BLOCKED = f"import sys\nsys.modules.update(dict.fromkeys({EXTRAS}))\n"
# One process imports the library, and each command runs in a fork of it.
COMMANDS = """
import json, os, runpy, sys
import keras_resnet.export.job as job
codes = {}
for name, arguments in json.loads(sys.argv[1]).items():
    child = os.fork()
    if child:
        codes[name] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        continue
    for stream in (1, 2):
        os.dup2(os.open(f"{name}.{stream}", os.O_CREAT | os.O_WRONLY), stream)
    sys.argv[1:] = arguments
    try:
        runpy.run_module("keras_resnet.export", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        print(end.code, file=sys.stderr, flush=True)
        sys.stdout.flush()
        os._exit(1 if isinstance(end.code, str) else end.code)  # as Python does
    raise AssertionError("a command ends with a code")
print(json.dumps({"formats": sorted(job.FORMATS), "codes": codes}))
"""
NEEDED = {
    "tflite": "tflite needs ai-edge-litert: pip install 'he-keras-resnet[serving]'",
    "tflite_int8": "tflite_int8 needs ai-edge-litert: pip install 'he-keras-resnet[serving]'",
    "saved_model": "saved_model needs tensorflow-serving-api: pip install"
    " 'he-keras-resnet[serving]'",
    "onnx": "onnx needs onnx, onnxruntime, tf2onnx: pip install 'he-keras-resnet[onnx]'",
    "openvino": "openvino needs openvino: pip install 'he-keras-resnet[openvino]'",
}


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> Path:
    """A folder for PYTHONPATH, with a small network, and what each command wrote."""
    folder = tmp_path_factory.mktemp("bare")
    (folder / "sitecustomize.py").write_text(BLOCKED)
    model, manifest = exporting.network("resnet20", repeats=[1, 1])
    weights.save(model, folder / "a.keras", manifest)
    places = [f"--weights={folder}/a.keras", f"--out={folder}/name/1"]
    commands = {name: [*places, f"--formats={name}"] for name in NEEDED}
    commands["help"] = ["--help"]
    commands["word"] = [*places, "calibration_dir=photos"]
    named = {str(folder / name): arguments for name, arguments in commands.items()}
    done = helpers.python("-c", COMMANDS, json.dumps(named), PYTHONPATH=str(folder))
    assert done.returncode == 0, done.stderr
    (folder / "told.json").write_text(done.stdout)
    return folder


def test_the_library_is_imported_without_extras(bare):
    assert set(NEEDED) < set(json.loads((bare / "told.json").read_text())["formats"])


def test_help_needs_no_extra(bare):
    assert "Traceback" not in (bare / "help.2").read_text()
    shown = (bare / "help.1").read_text()
    assert "--[no]tflite_features" in shown
    assert "--calibration_dir" in shown
    assert "--weights" in shown  # of the flags that other commands share


WORD = "flags begin with --, got 'calibration_dir=photos'; see --help"


@pytest.mark.parametrize(("name", "error"), {**NEEDED, "word": WORD}.items())
def test_what_cannot_be_is_one_line(bare, name, error):
    assert json.loads((bare / "told.json").read_text())["codes"][str(bare / name)] == 1
    told = (bare / f"{name}.2").read_text()
    assert "Traceback" not in told
    assert told.splitlines()[-1] == f"error: {error}"
    assert not (bare / "name").exists()
