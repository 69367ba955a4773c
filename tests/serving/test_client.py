"""The client against a stand-in that fails as it is told: nothing lost, nothing disordered."""

import itertools
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from saved_models.serving.client import transport
from saved_models.serving.client.command import Client
from saved_models.serving.client.transport import Failure, Kind, Model
from saved_models.serving.servers.stub import server
from tests.support.scripted import Script, both, classify, expected, images, serving


@pytest.fixture
def served() -> Iterator[Any]:
    with serving() as serve:
        yield serve


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "FIRST_DELAY", 0.02)


@both
def test_answers_come_in_the_order_of_the_images(served, tmp_path, way):
    class Uneven(Script):
        def run(self, *arguments: Any) -> Any:
            time.sleep(0.02 * (len(self.sizes) % 3))
            return super().run(*arguments)

    script = Uneven(delay=0.05)
    files = images(tmp_path, 30)[::-1]
    results = classify(served(script, way), files, concurrency=5)
    assert results == [expected(file, 29 - i) for i, file in enumerate(files)]
    assert sorted(script.sizes) == [2, *[4] * 7]
    assert script.most > 1


@both
def test_a_bad_image_costs_its_neighbours_nothing(served, tmp_path, way):
    script = Script()
    files = images(tmp_path, 8)
    files[2].write_bytes(b"\xff\xd8 no image")
    files[6].write_bytes(b"")
    results = classify(served(script, way), files, batch_size=6)
    code = "INVALID_ARGUMENT" if way == "grpc" else "HTTP 400"
    for i, (file, result) in enumerate(zip(files, results, strict=True)):
        if i in {2, 6}:
            error = f"{code}: image_bytes hold no number"
            assert result == {"file": str(file), "error": error}
        else:
            assert result == expected(file, i)
    assert sorted(script.sizes) == [*[1] * 8, 2, 6]


@both
def test_what_was_answered_one_by_one_is_kept(served, tmp_path, way):
    """The batch is refused for its second image; then its third gets no answer."""
    files = images(tmp_path, 4)
    files[1].write_text("bad")
    script = Script([None, None, None, "UNAVAILABLE"])
    results = classify(served(script, way), files, retries=0)
    assert [result.get("classes", [None])[0] for result in results] == [0, None, None, 3]
    assert "as it was told" in results[2]["error"]
    assert script.sizes == [4, 1, 1, 1, 1]


@both
@pytest.mark.parametrize("code", ["UNAVAILABLE", "DEADLINE_EXCEEDED"])
def test_what_may_pass_is_tried_again_later_and_later(served, tmp_path, monkeypatch, way, code):
    monkeypatch.setattr(transport, "FIRST_DELAY", 0.1)
    script = Script([code] * 3)
    files = images(tmp_path, 3)
    results = classify(served(script, way), files, retries=3, concurrency=1)
    assert results == [expected(file, i) for i, file in enumerate(files)]
    waits = np.diff(script.times)
    assert len(waits) == 3
    for wait, delay in zip(waits, (0.1, 0.2, 0.4), strict=True):
        assert delay / 2 <= wait < delay + 5  # a busy machine


def test_waits_differ_from_client_to_client(monkeypatch):
    waits: list[float] = []
    stop = type("Stop", (), {"wait": lambda self, seconds: waits.append(seconds)})()

    def call() -> None:
        raise Failure(Kind.TRANSIENT, "UNAVAILABLE", "busy")

    for _ in range(20):
        with pytest.raises(Failure, match="UNAVAILABLE: busy"):
            transport.persist(call, 1, stop)
    assert len(set(waits)) > 10
    assert all(0.01 <= wait <= 0.02 for wait in waits)
    waits.clear()
    with pytest.raises(Failure):
        transport.persist(call, 30, stop)
    assert max(waits) <= transport.LAST_DELAY
    assert len(waits) == 30


def test_too_many_requests_of_rest_are_tried_again(served, tmp_path):
    script = Script(["RESOURCE_EXHAUSTED"] * 2)
    files = images(tmp_path, 1)
    assert classify(served(script, "rest"), files, retries=2) == [expected(files[0], 0)]


@both
def test_bad_input_is_never_tried_again(served, tmp_path, way):
    script = Script()
    (tmp_path / "a.jpg").write_text("bad")
    [result] = classify(served(script, way), [tmp_path / "a.jpg"], retries=5)
    assert "image_bytes hold no number" in result["error"]
    assert script.sizes == [1]


@both
def test_a_batch_that_gets_no_answer_is_told_and_others_go_on(served, tmp_path, way):
    script = Script(["UNAVAILABLE", "UNAVAILABLE"])
    files = images(tmp_path, 6)
    results = classify(served(script, way), files, 2, retries=1, concurrency=1)
    assert [("error" in result) for result in results] == [True, True, *[False] * 4]
    assert "as it was told" in results[0]["error"]
    assert results[2:] == [expected(file, i) for i, file in enumerate(files)][2:]


@both
def test_a_server_that_never_answers_costs_what_the_timeout_says(served, tmp_path, way):
    script = Script(["STUCK"] * 2)
    files = images(tmp_path, 2)
    start = time.monotonic()
    results = classify(served(script, way), files, 1, timeout=0.3, retries=0, concurrency=2)
    assert 0.3 <= time.monotonic() - start < 10  # and not 30
    assert all("DEADLINE_EXCEEDED: " in result["error"] for result in results)


@both
def test_no_more_is_read_than_is_under_way(served, tmp_path, way):
    [file] = images(tmp_path, 1)
    taken = itertools.count()
    script = Script(delay=0.01)
    client = Client(served(script, way), Model("model"), concurrency=3)
    endless = (file for _ in taken)
    results = client.classify(endless, 5)
    assert list(itertools.islice(results, 200)) == [expected(file, 0)] * 200
    assert next(taken) <= 200 + 2 * 3 * 5 + 5
    assert script.most <= 3
    results.close()
    client.close()


def test_only_failures_in_a_row_end_a_run(served, tmp_path):
    busy = ["UNAVAILABLE"] * 2
    script = Script([*busy, None, *busy, None, *busy, None])
    results = classify(served(script, "rest"), images(tmp_path, 9), 1, retries=0, concurrency=1)
    assert ["error" in result for result in results] == [True, True, False] * 3


def test_batches_are_bounded_in_bytes(served, tmp_path, monkeypatch):
    monkeypatch.setattr("saved_models.serving.client.files.MAX_REQUEST", 10)
    monkeypatch.setattr("saved_models.serving.client.files.MAX_FILE", 20)
    files = images(tmp_path, 6)
    files[1].write_text("0000000001")
    files[3].write_text("0" * 21)
    script = Script()
    results = classify(served(script, "grpc"), files, 6, concurrency=1)
    assert [result.get("classes", [None])[0] for result in results] == [0, 1, 2, None, 4, 5]
    assert results[3]["error"] == "21 bytes; at most 20 are sent"
    assert script.sizes == [1, 1, 1, 2]


def test_connections_are_kept(served, tmp_path):
    script = Script()
    results = classify(served(script, "rest"), images(tmp_path, 40), 1, concurrency=2)
    assert len(results) == len(script.sizes) == 40
    assert len(script.threads) <= 2  # the stub has one for each connection


@pytest.mark.parametrize("name", ["labels", "probabilities"])
def test_half_an_answer_is_none(served, tmp_path, monkeypatch, name):
    def half(tensor: Any, value: Any) -> None:
        fill(tensor, value)
        if value.dtype.kind in {"labels": "O", "probabilities": "f"}[name]:
            del getattr(tensor, {"labels": "string_val", "probabilities": "float_val"}[name])[-1]

    fill = server._fill
    monkeypatch.setattr(server, "_fill", half)
    with pytest.raises(Failure, match=f"2 images were sent, but the answer has .*'{name}': 0"):
        classify(served(Script(), "grpc"), images(tmp_path, 2))


def test_a_version_and_a_label_exclude_each_other():
    with pytest.raises(ValueError, match="got 1 and 'stable'"):
        Model("model", 1, "stable")


def test_tensors_may_be_packed(served, tmp_path, monkeypatch):
    """As TensorFlow's own `make_tensor_proto` writes them."""
    import tensorflow as tf

    def fill(tensor: Any, value: Any) -> None:
        tensor.CopyFrom(tf.make_tensor_proto(value))
        assert tensor.tensor_content or value.dtype == object

    monkeypatch.setattr(server, "_fill", fill)
    files = images(tmp_path, 4)
    results = classify(served(Script(), "grpc"), files)
    assert results == [expected(file, i) for i, file in enumerate(files)]
