"""An export in KServe's own model server, by both of its protocols, over HTTP and gRPC."""

import base64
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import requests

from tests.support import servers
from tests.support.servers import JUNK, NOT_AN_IMAGE

pytestmark = [pytest.mark.slow, servers.needed]
ways = pytest.mark.parametrize("way", ["http", "grpc"])


class KServe(NamedTuple):
    ask: servers.Asker
    addresses: dict[str, str]


@pytest.fixture(scope="module")
def kserve(exported, tmp_path_factory) -> Iterator[KServe]:
    http, grpc = servers.free_ports(2)
    flags = [f"--model_dir={exported[0]}", "--model_name=digits"]
    flags += [f"--http_port={http}", f"--grpc_port={grpc}"]
    log = tmp_path_factory.mktemp("kserve") / "log"
    ready = f"http://127.0.0.1:{http}/v2/health/ready"
    with servers.running(log, ready, "saved_models.serving.servers.kserve", *flags) as process:
        ask = servers.Asker(model="digits", axes=1)
        yield KServe(ask, {"http": f"127.0.0.1:{http}", "grpc": f"127.0.0.1:{grpc}"})
        ask.close()
    assert process.returncode == 0


def post(kserve: KServe, path: str, **content: Any) -> requests.Response:
    return requests.post(f"http://{kserve.addresses['http']}{path}", timeout=30, **content)


def b64(image: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(image).decode()}


@pytest.mark.parametrize("named", [True, False])
def test_v1_answers_as_keras(kserve, exported, data_dir, named):
    _, model, manifest = exported
    images = servers.photos(data_dir)
    rows = [{"image_bytes": b64(image)} if named else b64(image) for image in images]
    done = post(kserve, "/v1/models/digits:predict", json={"instances": rows})
    assert done.status_code == 200, done.text
    found = done.json()["predictions"]
    columns = {name: [row[name] for row in found] for name in found[0]}
    servers.check(columns, servers.by_keras(model, manifest, images), manifest.labels)


@ways
def test_v2_answers_as_keras(kserve, exported, data_dir, way):
    _, model, manifest = exported
    images = servers.photos(data_dir)
    how = {"way": way, "address": kserve.addresses[way], "text": way == "http"}
    expected = servers.by_keras(model, manifest, images)
    servers.check(kserve.ask(images, **how), expected, manifest.labels)
    answers = kserve.ask.all([[image] for image in [*images, JUNK]], **how)
    for i, answer in enumerate(answers[:-1]):
        servers.check(answer, expected[[i]], manifest.labels)
    assert answers[-1]["error"] == NOT_AN_IMAGE


def test_v2_takes_json_alone(kserve, exported, data_dir):
    _, model, manifest = exported
    images = servers.photos(data_dir, 2)
    data = [b64(image)["b64"] for image in images]
    tensor = {"name": "image_bytes", "datatype": "BYTES", "shape": [2], "data": data}
    done = post(kserve, "/v2/models/digits/infer", json={"inputs": [tensor]})
    assert done.status_code == 200, done.text
    found = {row["name"]: row for row in done.json()["outputs"]}
    shape = found["classes"]["shape"]
    rows = {
        name: [row["data"][i * shape[1] : (i + 1) * shape[1]] for i in range(2)]
        for name, row in found.items()
    }
    servers.check(rows, servers.by_keras(model, manifest, images), manifest.labels)


@ways
@pytest.mark.parametrize(
    ("images", "told"),
    [
        ([JUNK], NOT_AN_IMAGE),
        ([b"\xff\xd8\xff"], "Invalid JPEG data, size 3"),
        ([JUNK] * 129, "a request has 1 to 128 images, this one has 129"),
        ([], "a request has 1 to 128 images, this one has 0"),
    ],
    ids=["junk", "cut", "many", "none"],
)
def test_a_bad_request_of_v2_gets_a_typed_error(kserve, way, images, told):
    answer = kserve.ask(images, way=way, address=kserve.addresses[way], text=way == "http")
    code = {"http": "400", "grpc": "StatusCode.INVALID_ARGUMENT"}[way]
    assert answer == {"code": code, "error": told}


TENSOR = {"name": "image_bytes", "datatype": "BYTES", "shape": [1], "data": ["junk"]}


@pytest.mark.parametrize(
    ("path", "content", "code", "told"),
    [
        ("v1/models/digits:predict", {"instances": [b64(JUNK)]}, 400, NOT_AN_IMAGE),
        ("v1/models/digits:predict", {"instances": [{"b64": "%"}]}, 400, "no base64"),
        ("v1/models/digits:predict", {"instances": [{"b64": 1}]}, 400, "has to be"),
        ("v1/models/digits:predict", {"instances": []}, 400, "1 to 128 images"),
        ("v1/models/digits:predict", {"inputs": []}, 400, "expected"),
        ("v1/models/digits:predict", [1], 400, "expected"),
        ("v1/models/other:predict", {"instances": []}, 404, "does not exist"),
        ("v2/models/digits/infer", {"inputs": [TENSOR]}, 400, NOT_AN_IMAGE),
        ("v2/models/digits/infer", {"inputs": [{**TENSOR, "shape": [2]}]}, 400, "its shape"),
        ("v2/models/digits/infer", {"inputs": [{**TENSOR, "data": [1]}]}, 400, "no base64"),
        ("v2/models/digits/infer", {"inputs": [{**TENSOR, "name": "x"}]}, 400, "expected one"),
        ("v2/models/digits/infer", {"inputs": [TENSOR, TENSOR]}, 400, "expected one"),
    ],
)
def test_a_bad_request_gets_a_typed_error(kserve, path, content, code, told):
    done = post(kserve, f"/{path}", json=content)
    assert done.status_code == code, done.text
    assert told in done.json()["error"]


def test_curl_needs_no_header(kserve):
    """It says that JSON is a form, and KServe hands that on as it is."""
    form = {"headers": {"Content-Type": "application/x-www-form-urlencoded"}}
    for text, told in (('{"instances": []}', "1 to 128 images"), ("{", "the request is not JSON")):
        done = post(kserve, "/v1/models/digits:predict", data=text, **form)
        assert done.status_code == 400
        assert told in done.json()["error"]
