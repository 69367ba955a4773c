"""`saved_models/classify.py` runs exports without Keras, as well as evaluation said."""

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_resnet
from keras_resnet import weights
from keras_resnet.manifest import Manifest
from keras_resnet.preprocessing import Preprocessing
from saved_models import classify
from tests.support import helpers

SPY = """
import runpy, sys
sys.argv = ["classify.py", *sys.argv[1:]]
runpy.run_path("saved_models/classify.py", run_name="__main__")
print(*sorted({name.split(".")[0] for name in sys.modules}), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> tuple[Path, dict]:
    """A network of random weights on digits: exported, and what `train.evaluate` says of it."""
    folder = tmp_path_factory.mktemp("classify")
    keras.utils.set_random_seed(3)
    fields = {"repeats": [1, 1, 1]}
    model = keras_resnet.resnet(
        "resnet20", input_shape=(8, 8, 1), classifier_activation=None, **fields
    )
    scaling = Preprocessing(mean=(100.0,), std=(50.0,), image_size=8, crop=1.0)
    labels = tuple("0123456789")
    file = folder / "a.weights.h5"
    weights.save(model, file, Manifest("resnet20", (8, 8, 1), labels, scaling, fields))
    evaluate = ["train.evaluate", f"--weights={file}", "--dataset=digits"]
    seen = ["--split=train", "--examples=200", f"--examples_out={folder}/train.npz"]
    cases = [
        [*evaluate, f"--examples_out={folder}/test.npz"],
        [*evaluate, *seen],
        [
            "keras_resnet.export",
            f"--weights={file}",
            f"--out={folder}/digits/1",
            "--formats=saved_model,tflite,tflite_int8",
            f"--calibration_file={folder}/train.npz",
        ],
    ]
    evaluated, sampled, done = helpers.modules(cases)
    assert [run["code"] for run in (evaluated, sampled, done)] == [0, 0, 0], done["stderr"]
    assert json.loads(sampled["stdout"].splitlines()[-1])["examples"] == 200
    return folder, json.loads(evaluated["stdout"].splitlines()[-1])


RUNTIMES = {
    "SavedModel": ("digits/1", {"tensorflow"}, {"keras_resnet", "train"}),
    "TFLite": (
        "digits/1/model.tflite",
        {"ai_edge_litert"},
        {"keras_resnet", "train", "tensorflow", "keras"},
    ),
}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_classify_repeats_the_evaluation_with_its_runtime_alone(exported, runtime):
    folder, evaluated = exported
    model, needed, banned = RUNTIMES[runtime]
    done = helpers.python("-c", SPY, str(folder / model), str(folder / "test.npz"))
    assert done.returncode == 0, done.stderr
    modules = set(done.stderr.splitlines()[-1].split())
    assert needed <= modules
    assert not banned & modules
    expected = {"model": str(folder / model), "images": 360, "top1": evaluated["top1"]}
    assert json.loads(done.stdout.splitlines()[-1]) == pytest.approx(expected)
    assert 0 < evaluated["top1"] < 50


def test_classify_runs_int8_too(exported):
    folder, evaluated = exported
    model = folder / "digits/1/model_int8.tflite"
    done = helpers.python("saved_models/classify.py", str(model), str(folder / "test.npz"))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["images"] == 360
    assert found["top1"] == pytest.approx(evaluated["top1"], abs=5)  # of random weights


def test_classify_without_labels_only_names_classes(exported, tmp_path):
    folder, _ = exported
    with np.load(folder / "test.npz") as archive:
        np.savez(tmp_path / "a.npz", images=archive["images"][:2])
    model = folder / "digits/1/model.tflite"
    done = helpers.python("saved_models/classify.py", str(model), str(tmp_path / "a.npz"))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"model": str(model), "images": 2}
    assert done.stdout.count("-> ") == 2


def test_classify_says_how_it_is_called():
    done = helpers.python("saved_models/classify.py")
    assert done.returncode == 1
    assert "MODEL EXAMPLES.npz" in done.stderr


@pytest.mark.parametrize("activation", ["sigmoid", "none"])
def test_classify_follows_what_the_export_says(exported, tmp_path, activation):
    """Beside the same file another `model.json`: the logits are those of the evaluation."""
    folder, evaluated = exported
    shutil.copy(folder / "digits/1/model.tflite", tmp_path)
    about = json.loads((folder / "digits/1/model.json").read_text())
    labels = [f"Ä{i}" for i in range(10)]
    told = json.dumps({**about, "activation": activation, "labels": labels}, ensure_ascii=False)
    (tmp_path / "model.json").write_text(told, encoding="utf-8")
    arguments = [str(tmp_path / "model.tflite"), str(folder / "test.npz")]
    plain = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = helpers.python("saved_models/classify.py", *arguments, **plain)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["top1"] == pytest.approx(evaluated["top1"])
    with np.load(folder / "test.npz") as archive:
        logits = classify.run_tflite(tmp_path / "model.tflite", archive["images"][:3])
    best, highest = logits.argmax(1), np.float64(logits.max(1))
    shares = [f"{100 / (1 + np.exp(-value)):.1f} %" for value in highest]
    values = shares if activation == "sigmoid" else [f"{value:.2f}" for value in highest]
    expected = [rf"-> \xc4{i} ({value})" for i, value in zip(best, values, strict=True)]
    assert [line for line in done.stdout.splitlines() if line.startswith("->")] == expected


def test_probabilities_are_exact_where_exp_is_not():
    logits = np.float32([[0, 1000], [-1000, 3]])
    assert classify.probabilities(logits, "none") is None
    sigmoid = classify.probabilities(logits, "sigmoid")
    np.testing.assert_allclose(sigmoid, [[0.5, 1], [0, 0.95257413]], atol=1e-6)
    np.testing.assert_allclose(classify.probabilities(logits, "softmax"), [[0, 1], [0, 1]])
