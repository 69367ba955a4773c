"""Exports in TensorFlow's C++ SavedModel loader: what Python computes, typed errors, warm-up."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from saved_models.serving.servers.stub.loader import Loaded, Refusal
from tests.support import helpers, served
from tests.support.served import IMAGES, texts


@pytest.fixture(scope="module")
def export(tmp_path_factory) -> Path:
    return served.tiny(tmp_path_factory.mktemp("loader") / "1")


@pytest.fixture(scope="module")
def loaded(export) -> Loaded:
    """In this process, which has TensorFlow's Python as well."""
    return Loaded(export)


@pytest.fixture(scope="module")
def python(export) -> Any:
    return tf.saved_model.load(str(export))


@pytest.mark.parametrize("signature", ["serving_default", "features", "endpoints"])
def test_the_loader_computes_what_python_does(loaded, python, signature):
    images = helpers.noise(3, 32, 32, 3).astype(np.float32)
    outputs = loaded.run(signature, {"images": images})
    right = python.signatures[signature](images=tf.constant(images))
    assert outputs.keys() == right.keys()
    for name, value in outputs.items():
        np.testing.assert_array_equal(value, right[name])
        assert np.ptp(value) > 0


def test_the_loader_takes_and_gives_strings(loaded, python):
    outputs = loaded.run("predict_bytes", {"image_bytes": texts(IMAGES)})
    right = python.signatures["predict_bytes"](image_bytes=tf.constant(IMAGES))
    for name, value in outputs.items():
        np.testing.assert_array_equal(value, right[name])
    assert outputs["labels"].dtype == object
    only = loaded.run("predict_bytes", {"image_bytes": texts(IMAGES)}, ("classes",))
    assert list(only) == ["classes"]


REFUSED = {
    "an unknown signature": ("other", {}, "FAILED_PRECONDITION", '"other" not found'),
    "no inputs": ("features", {}, "INVALID_ARGUMENT", "0!=1.*Missing but required: {images}"),
    "one too many": (
        "predict_bytes",
        {"image_bytes": texts([b"a"]), "size": np.int32(3), "a": np.int32(3)},
        "INVALID_ARGUMENT",
        "3!=1.*Sent extra: {a,size}. Missing but required: {}",
    ),
    "another name": ("features", {"image": np.zeros(3)}, "INVALID_ARGUMENT", "extra: {image}"),
    "another type": (
        "features",
        {"images": np.zeros((1, 32, 32, 3), np.uint8)},
        "INVALID_ARGUMENT",
        "images is to be float, but uint8 is sent",
    ),
    "another rank": (
        "features",
        {"images": np.zeros((32, 32, 3), np.float32)},
        "INVALID_ARGUMENT",
        r"\[32,32,3\] is not compatible with expected shape \[\?,32,32,3\]",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_the_loader_refuses_with_the_codes_of_tensorflow_serving(loaded, case):
    signature, inputs, code, message = REFUSED[case]
    with pytest.raises(Refusal, match=message) as refusal:
        loaded.run(signature, {name: np.asarray(value) for name, value in inputs.items()})
    assert refusal.value.code == code


def test_a_directory_without_a_model_is_refused(tmp_path):
    with pytest.raises(Refusal, match="Could not find SavedModel") as refusal:
        Loaded(tmp_path)
    assert refusal.value.code == "NOT_FOUND"


def test_warm_up_records_are_answered(export):
    from tensorflow_serving.apis import prediction_log_pb2

    loaded = Loaded(export)
    file = export / "assets.extra" / "tf_serving_warmup_requests"
    seen = set()
    for record in tf.data.TFRecordDataset(str(file)):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
        outputs = loaded.run(request.model_spec.signature_name, inputs)
        [count] = {len(value) for value in inputs.values()}
        assert {len(value) for value in outputs.values()} == {count}
        assert np.isfinite(outputs["probabilities"]).all()
        seen.add((request.model_spec.signature_name, count))
    assert {name for name, _ in seen} >= {"serving_default", "predict_bytes"}
    assert 1 <= len(seen) <= 1000


def resident() -> int:
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if "VmRSS" in x)
    return int(line.split()[1]) // 1024


def test_the_loader_keeps_no_memory(loaded):
    """Of a gigabyte of bad strings, and of feature maps as much."""
    bad = {"image_bytes": texts([bytes(2**20)])}
    good = {"images": np.zeros((60, 32, 32, 3), np.float32)}
    before = 0
    for i in range(1050):
        with pytest.raises(Refusal):
            loaded.run("predict_bytes", bad)
        if i % 30 == 0:
            loaded.run("endpoints", good)
        before = before or (resident() if i == 50 else 0)
    assert resident() - before < 200
