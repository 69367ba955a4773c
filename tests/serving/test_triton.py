"""An export in the real Triton server of `nvidia-pytriton`, over HTTP and gRPC."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import requests

from tests.support import servers
from tests.support.servers import JUNK, NOT_AN_IMAGE

pytestmark = [pytest.mark.slow, servers.needed]
ways = pytest.mark.parametrize("way", ["http", "grpc"])


class Triton(NamedTuple):
    ask: servers.Asker
    addresses: dict[str, str]
    metrics: str


@pytest.fixture(scope="module")
def triton(exported, tmp_path_factory) -> Iterator[Triton]:
    http, grpc, metrics = servers.free_ports(3)
    flags = [f"--http_port={http}", f"--grpc_port={grpc}", f"--metrics_port={metrics}"]
    log = tmp_path_factory.mktemp("triton") / "log"
    ready = f"http://127.0.0.1:{http}/v2/health/ready"
    module = "saved_models.serving.servers.triton"
    with servers.running(log, ready, module, str(exported[0]), *flags) as process:
        ask = servers.Asker(model="digits", axes=2)
        addresses = {"http": f"127.0.0.1:{http}", "grpc": f"127.0.0.1:{grpc}"}
        yield Triton(ask, addresses, f"http://127.0.0.1:{metrics}/metrics")
        ask.close()
    assert process.returncode == 143
    assert "successfully unloaded 'digits'" in log.read_text()


def counted(triton: Triton, name: str) -> int:
    text = requests.get(triton.metrics, timeout=10).text
    return int(re.findall(rf'^{name}\{{model="digits",version="1"\}} (\d+)', text, re.M)[0])


@ways
def test_it_answers_as_keras(triton, exported, data_dir, way):
    _, model, manifest = exported
    images = servers.photos(data_dir)
    answer = triton.ask(images, way=way, address=triton.addresses[way])
    servers.check(answer, servers.by_keras(model, manifest, images), manifest.labels)


def test_requests_are_merged_and_bad_ones_fail_alone(triton, exported, data_dir):
    _, model, manifest = exported
    images = servers.photos(data_dir)
    batches: list[Any] = [[images[i % 6]] for i in range(64)]
    bad = range(5, 64, 16)
    for i in bad:
        batches[i] = [JUNK]
    before = counted(triton, "nv_inference_exec_count")
    answers = triton.ask.all(batches, way="grpc", address=triton.addresses["grpc"])
    runs = counted(triton, "nv_inference_exec_count") - before
    expected = servers.by_keras(model, manifest, images)
    for i, answer in enumerate(answers):
        if i in bad:
            assert answer == {"code": "StatusCode.INVALID_ARGUMENT", "error": NOT_AN_IMAGE}
        else:
            servers.check(answer, expected[[i % 6]], manifest.labels)
    assert 0 < runs < 60


@ways
@pytest.mark.parametrize(
    ("images", "told"),
    [
        ([JUNK], NOT_AN_IMAGE),
        ([b""], NOT_AN_IMAGE),
        ([b"\xff\xd8\xff"], "Invalid JPEG data, size 3"),
        ([JUNK] * 129, "batch-size must be <= 128"),
        ([], "expected 1 string elements"),
    ],
    ids=["junk", "nothing", "cut", "many", "none"],
)
def test_a_bad_request_gets_a_typed_error(triton, way, images, told):
    answer = triton.ask(images, way=way, address=triton.addresses[way])
    assert answer["code"] == {"http": "400", "grpc": "StatusCode.INVALID_ARGUMENT"}[way]
    assert told in answer["error"]


def test_what_is_no_export_is_refused(tmp_path):
    command = ["saved_models.serving.servers.triton", str(tmp_path)]
    start = servers.running(tmp_path / "log", "http://127.0.0.1:9", *command)
    with (
        pytest.raises(AssertionError, match=r"is not NAME/VERSION, .* with a saved_model\.pb"),
        start,
    ):
        pass
