"""Exports in TensorFlow's C++ SavedModel loader, behind a stand-in, asked by two clients.

The loader is the code that TensorFlow Serving links; the stub is no TensorFlow Serving. What is
expected comes from the same SavedModel in TensorFlow's Python, and `ovmsclient` is of others.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import tensorflow as tf

from saved_models.serving.client.command import Client
from saved_models.serving.client.transport import Failure, Model
from tests.support import helpers, served
from tests.support.served import IMAGES

CONFIG = """
config {{ name: "both" base_path: "{0}" model_platform: "tensorflow"
          model_version_policy {{ all {{}} }}
          version_labels {{ key: "stable" value: 1 }} version_labels {{ key: "canary" value: 2 }} }}
config {{ name: "newest" base_path: "{0}" model_platform: "tensorflow" }}
"""
ways = pytest.mark.parametrize("way", ["grpc", "rest"])


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    """Versions 1 and 2 of a model, with other weights, and a folder that is no version."""
    folder = tmp_path_factory.mktemp("serving") / "tiny"
    for version in (1, 2):
        served.tiny(folder / str(version), seed=version)
    (folder / "partial").mkdir()
    return folder


@pytest.fixture(scope="module")
def addresses(exported) -> Iterator[dict[str, str]]:
    file = served.config(exported.parent, CONFIG.format(exported))
    with served.stub(file) as addresses:
        yield addresses


@pytest.fixture(scope="module")
def python(exported) -> dict[int, Any]:
    return {version: tf.saved_model.load(str(exported / str(version))) for version in (1, 2)}


def expected(model: Any, images: list[bytes]) -> list[dict[str, Any]]:
    outputs = model.signatures["predict_bytes"](image_bytes=tf.constant(images))
    columns = {name: value.numpy().tolist() for name, value in outputs.items()}
    columns["labels"] = [[label.decode() for label in row] for row in columns["labels"]]
    return [{name: columns[name][i] for name in columns} for i in range(len(images))]


@ways
@pytest.mark.parametrize(
    ("model", "version"),
    [
        (Model("both"), 2),
        (Model("both", version=1), 1),
        (Model("both", label="stable"), 1),
        (Model("both", label="canary"), 2),
        (Model("newest"), 2),
    ],
    ids=["latest", "version", "stable", "canary", "newest"],
)
def test_our_client_gets_what_python_computes(addresses, python, tmp_path, way, model, version):
    files = [tmp_path / f"{i}.jpg" for i in range(len(IMAGES))]
    for file, image in zip(files, IMAGES, strict=True):
        file.write_bytes(image)
    client = Client(addresses[way], model)
    results = list(client.classify(files))
    client.close()
    right = expected(python[version], IMAGES)
    assert results == [{"file": str(f), **row} for f, row in zip(files, right, strict=True)]


@ways
@pytest.mark.parametrize(
    ("model", "told"),
    [
        (Model("absent"), "absent"),
        (Model("newest", version=1), r"Specific\(newest, 1\)"),
        (Model("both", label="beta"), "beta"),
    ],
    ids=["model", "version", "label"],
)
def test_our_client_tells_what_is_not_served(addresses, way, model, told):
    with pytest.raises(Failure, match=told):
        Client(addresses[way], model).check()


@ways
def test_our_client_tells_states(addresses, way):
    rows = [{"version": version, "state": "AVAILABLE", "status": "OK"} for version in (2, 1)]
    assert Client(addresses[way], Model("both")).status() == rows
    assert Client(addresses[way], Model("newest")).status() == rows[:1]


# It keeps bytes in arrays of NumPy, which forget zeros at their end.
UNPADDED = [image for image in IMAGES if not image.endswith(b"\0")]


def ovms(addresses: dict[str, str], way: str) -> Any:
    import ovmsclient

    make = {"grpc": ovmsclient.make_grpc_client, "rest": ovmsclient.make_http_client}[way]
    return make(addresses[way].removeprefix("http://"))


@ways
def test_ovmsclient_gets_what_python_computes(addresses, python, way):
    client = ovms(addresses, way)
    for version in (1, 2):
        images = helpers.noise(2, 32, 32, 3, seed=version).astype(np.float32)
        outputs = client.predict({"images": images}, "both", version)
        right = python[version].signatures["serving_default"](images=tf.constant(images))
        assert outputs.keys() == right.keys()
        for name, value in outputs.items():
            np.testing.assert_array_equal(np.float32(value), right[name])


def test_ovmsclient_sends_bytes_over_grpc(addresses, python):
    """It always asks for the default signature; the rest of its request is as it made it."""
    from ovmsclient.tfs_compat.grpc import requests as ovms_requests
    from ovmsclient.tfs_compat.grpc.responses import GrpcPredictResponse

    request = ovms_requests.make_predict_request({"image_bytes": UNPADDED}, "both", 2).raw_request
    request.model_spec.signature_name = "predict_bytes"
    response = ovms(addresses, "grpc").prediction_service_stub.Predict(request, 10)
    outputs = GrpcPredictResponse(response).to_dict()["outputs"]
    right = python[2].signatures["predict_bytes"](image_bytes=tf.constant(UNPADDED))
    for name, value in right.items():
        np.testing.assert_array_equal(outputs[name], value.numpy().astype(outputs[name].dtype))


def test_ovmsclient_sends_bytes_over_rest(addresses, python):
    from ovmsclient.tfs_compat.http import requests as ovms_requests

    made = ovms_requests.make_predict_request({"image_bytes": UNPADDED}, "both", 2).parsed_inputs
    body = json.dumps({**json.loads(made), "signature_name": "predict_bytes"})
    url = f"{addresses['rest']}/v1/models/both/versions/2:predict"
    columns = requests.post(url, data=body, timeout=10).json()["outputs"]
    rows = [{name: columns[name][i] for name in columns} for i in range(len(UNPADDED))]
    assert rows == expected(python[2], UNPADDED)


def test_ovmsclient_reads_status_and_signatures(addresses):
    for way in ("grpc", "rest"):
        status = {"state": "AVAILABLE", "error_code": 0, "error_message": ""}
        assert ovms(addresses, way).get_model_status("both", 1) == {1: status}
    metadata = ovms(addresses, "grpc").get_model_metadata("both", 1)
    assert metadata["model_version"] == 1
    assert metadata["inputs"] == {"images": {"shape": [-1, 32, 32, 3], "dtype": "DT_FLOAT"}}
    assert metadata["outputs"]["probabilities"] == {"shape": [-1, 10], "dtype": "DT_FLOAT"}
    rest = ovms(addresses, "rest").get_model_metadata("both", 1)
    signatures = rest["metadata"]["signature_def"]["signature_def"]
    assert signatures["predict_bytes"]["inputs"]["image_bytes"]["dtype"] == "DT_STRING"


@ways
def test_ovmsclient_is_told_what_is_wrong(addresses, way):
    with pytest.raises(Exception, match="32,32,1"):
        ovms(addresses, way).predict({"images": np.zeros((1, 32, 32, 1), np.float32)}, "both", 1)
    with pytest.raises(Exception, match=r"Missing but required: \{images\}"):
        ovms(addresses, way).predict({"image": np.zeros((1, 3), np.float32)}, "both", 1)
    with pytest.raises(Exception, match=r"Specific\(both, 7\)"):
        ovms(addresses, way).predict({"images": np.zeros((1, 3), np.float32)}, "both", 7)


BODIES = {
    "no JSON": (b"{", 400, "JSON Parse error"),
    "no inputs": (b"{}", 400, "Missing 'inputs' or 'instances' key"),
    "both formats": (b'{"instances": [1], "inputs": [1]}', 400, "Missing 'inputs'"),
    "no instance": (b'{"instances": []}', 400, "not empty"),
    "no base64": (
        b'{"signature_name": "predict_bytes", "instances": [{"b64": "?"}]}',
        400,
        "not of expected type: string",
    ),
    "ragged": (b'{"instances": [[[1]], [[1, 2]]]}', 400, "different sizes"),
    "words": (b'{"instances": ["a"]}', 400, "not of expected type: float"),
    "no signature": (b'{"signature_name": "a", "instances": [1]}', 400, '"a" not found'),
    "rank": (b'{"instances": [1]}', 400, "not compatible with expected shape"),
    "NaN": (b'{"inputs": NaN}', 400, "not compatible with expected shape"),
}


@pytest.mark.parametrize("case", BODIES)
def test_rest_refuses(addresses, case):
    body, code, told = BODIES[case]
    url = f"{addresses['rest']}/v1/models/both:predict"
    response = requests.post(url, data=body, timeout=10)
    assert response.status_code == code
    assert told in response.json()["error"]


def test_rest_in_rows_without_names(addresses, python):
    from base64 import b64encode

    rows = [{"b64": b64encode(image).decode()} for image in IMAGES]
    body = {"signature_name": "predict_bytes", "instances": rows}
    url = f"{addresses['rest']}/v1/models/both/labels/canary:predict"
    answer = requests.post(url, json=body, timeout=10).json()
    assert answer == {"predictions": expected(python[2], IMAGES)}
    body = {"signature_name": "features", "instances": np.zeros((1, 32, 32, 3)).tolist()}
    features = requests.post(url, json=body, timeout=10).json()["predictions"]
    assert np.shape(features) == (1, 64)


@pytest.mark.slow
def test_32_clients_at_once_lose_nothing(exported):
    command = ("-m", "benchmarks.serving_load", str(exported / "2"), "", "32", "2000")
    done = helpers.python(*command, TF_CPP_MIN_LOG_LEVEL="3")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["way"] for row in rows] == ["grpc", "rest"]
    for row in rows:
        assert (row["clients"], row["requests"], row["lost"], row["wrong"]) == (32, 2000, 0, 0)
        assert 0 < row["p50_ms"] < row["p90_ms"] < row["p99_ms"] < 60_000
