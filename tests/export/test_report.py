"""What lies beside the files of an export: what they are, and how near to the network."""

import hashlib
import json

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

import keras_resnet
from keras_resnet.export import job, report
from keras_resnet.manifest import Manifest
from keras_resnet.rewrite.fold import fold
from tests.support import helpers
from tests.support.exporting import LABELS, by_hand, network, pixels


def test_every_weight_is_written_once(exported):
    """Kernels and biases; normalizations are folded into them."""
    out, model, _ = exported
    folded = fold(model)
    assert folded.count_params() < model.count_params()
    content = (out / "saved_model.pb").read_bytes()
    large = [weight.numpy() for weight in folded.weights if weight.numpy().size > 500]
    assert len(large) > 5
    assert [content.count(weight.tobytes()) for weight in large] == [1] * len(large)
    # The file of variables is empty: nothing is left to restore, or to read for each request.
    assert sum(file.stat().st_size for file in (out / "variables").iterdir()) < 5_000


def test_two_exports_are_the_same_bytes(exported, tmp_path):
    weights = exported[0].parents[1] / "a.keras"
    done = helpers.module("keras_resnet.export", f"--weights={weights}", f"--out={tmp_path}/2")
    assert done.returncode == 0, done.stderr
    first, second = (
        {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        for folder in (exported[0], tmp_path / "2")
    )
    assert {"saved_model.pb", "model.tflite", "model.json", "labels.txt"} <= set(first)
    measured = {"fingerprint.pb", "report.json", "report.md"}
    assert {name for name in first if first[name] != second.get(name)} <= measured
    assert set(first) == set(second)


def test_model_json_says_what_it_is(exported):
    out, _, manifest = exported
    found = json.loads((out / "model.json").read_text())
    assert found["variant"] == "v1"
    assert set(found["parity"]) == {"saved_model", "tflite"}
    assert found["parity"]["saved_model"]["relative"] < 1e-4
    sha256 = hashlib.sha256((out.parents[1] / "a.keras").read_bytes()).hexdigest()
    assert found["weights"] == {"file": "a.keras", "sha256": sha256}
    told = manifest.to_dict()
    assert {name: found[name] for name in told} == told
    assert (out / "labels.txt").read_text().splitlines() == list(LABELS)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("resnet50", "v1"),
        ("resnet18_v1_5", "v1.5"),
        ("resnet20_v2", "v2"),
        ("resnet50_d", "D"),
        ("plain34", "plain"),
    ],
)
def test_variants_have_names(name, kind):
    assert job.variant(keras_resnet.FAMILY[name]) == kind


def test_the_report_is_a_table_of_the_same_figures(exported):
    out, _, _ = exported
    found = json.loads((out / "report.json").read_text())
    assert found["images"] == "8 artificial images"
    assert set(found["formats"]) == {"saved_model", "tflite"}
    rows = [line.split("|")[1:-1] for line in (out / "report.md").read_text().splitlines()[2:]]
    assert [row[0].strip() for row in rows] == ["format", "---", "saved_model", "tflite"]
    for row in rows[2:]:
        figures = found["formats"][row[0].strip()]
        assert float(row[1]) == pytest.approx(figures["bytes"] / 1e6, abs=0.01)
        assert float(row[6]) == pytest.approx(figures["latency_1"], abs=0.01)
        assert figures["latency_1"] > 0
    size = (out / "model.tflite").stat().st_size
    assert found["formats"]["tflite"]["bytes"] == size


def test_warm_up_requests_are_those_of_the_signatures(exported):
    out, _, _ = exported
    file = out / "assets.extra" / "tf_serving_warmup_requests"
    signatures = tf.saved_model.load(str(out)).signatures
    seen = []
    for record in tf.data.TFRecordDataset(str(file)):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        request = log.predict_log.request
        values = {name: tf.constant(tf.make_ndarray(x)) for name, x in request.inputs.items()}
        signatures[request.model_spec.signature_name](**values)
        seen.append((request.model_spec.signature_name, len(next(iter(values.values())))))
    assert seen == [(s, n) for n in (1, 8) for s in ("serving_default", "predict_bytes")]


def test_the_report_tells_the_accuracy_where_classes_are_known(tmp_path):
    model, manifest = network("resnet20", repeats=[1, 1])
    best = by_hand(model, pixels(20))[0].argmax(1)
    classes = np.where(np.arange(20) < 15, best, (best + 1) % 7)
    images = job.Images(pixels(20), "photos", True, classes)
    formats = ["saved_model", "tflite", "onnx", "openvino"]
    rows = job.export(model, manifest, tmp_path / "1", job.Job(formats, images=images))
    assert {row.top1 for row in rows.values()} == {75.0}
    found = json.loads((tmp_path / "1" / "report.json").read_text())
    assert found["top1"] == 75.0
    assert {row["top1"] for row in found["formats"].values()} == {75.0}
    text = (tmp_path / "1" / "report.md").read_text()
    assert "20 photos, of which the network itself classifies 75.00 % right:" in text
    lines = [line.split("|")[1:-1] for line in text.splitlines()[2:]]
    assert [line[-1].strip() for line in lines] == ["top-1 %", "---", *["75.00"] * 4]


def test_a_yes_or_no_agrees_if_both_say_the_same():
    manifest = Manifest("resnet20", (8, 8, 1), ("cat",), None, activation="sigmoid")
    logits = np.float32([[-2], [0.1], [3], [-0.1]])
    images = report.Images(np.zeros((4, 8, 8, 1), np.float32), "made up", real=False)
    run = iter([logits + np.float32([[0], [0], [0], [0.2]])])
    figures = report.measure(
        lambda x: next(run, x), helpers.ROOT / "setup.py", images, logits, manifest
    )
    assert figures.agreement == 75
    assert figures.top1 is None
