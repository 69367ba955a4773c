"""Networks of one output, of several labels and of logits alone: client, servers and page."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from saved_models.serving.client.command import Client, main
from saved_models.serving.client.transport import Model
from saved_models.serving.page import content as page
from saved_models.serving.page.explanation import Network
from saved_models.serving.servers import triton as triton_server
from saved_models.serving.servers.loaded import Classifier
from tests.support import served

HEADS = {"one": ("sigmoid", 1), "several": ("sigmoid", 6), "logits": ("none", 6)}
ROW = 'config {{ name: "{0}" base_path: "{1}/{0}" model_platform: "tensorflow" }}\n'
heads = pytest.mark.parametrize("head", HEADS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("heads")
    for name, (activation, classes) in HEADS.items():
        served.tiny(folder / name / "1", classes=classes, activation=activation)
    return folder


@pytest.fixture(scope="module")
def addresses(folder) -> Iterator[dict[str, str]]:
    rows = "".join(ROW.format(name, folder) for name in HEADS)
    with served.stub(served.config(folder, rows)) as addresses:
        yield addresses


@cache
def loaded(directory: Path) -> Any:
    return tf.saved_model.load(str(directory))


def scores(head: str) -> str:
    return "logits" if HEADS[head][0] == "none" else "probabilities"


def expected(folder: Path, head: str, image: bytes) -> dict[str, Any]:
    """From the logits of pixels: as numpy ranks them, and sigmoid by its definition."""
    asked = loaded(folder / head / "1").signatures
    seen = asked["explain"](image_bytes=tf.constant([image]))["images"]
    logits = asked["serving_default"](images=tf.cast(seen, tf.float32))["logits"][0].numpy()
    order = np.argsort(-logits)[:5]
    values = logits if HEADS[head][0] == "none" else 1 / (1 + np.exp(-np.float64(logits)))
    return {
        "classes": order.tolist(),
        "labels": [f"class {i}" for i in order],
        scores(head): pytest.approx(values[order].tolist(), rel=2e-2, abs=2e-2),
    }


@heads
@pytest.mark.parametrize("way", ["grpc", "rest"])
def test_clients_get_probabilities_or_logits(folder, addresses, tmp_path, head, way):
    image = served.encoded(0, size=(32, 32))
    (tmp_path / "a.png").write_bytes(image)
    client = Client(addresses[way], Model(head))
    try:
        (found,) = client.classify([tmp_path / "a.png"])
    finally:
        client.close()
    assert found == {"file": str(tmp_path / "a.png"), **expected(folder, head, image)}


@heads
def test_the_command_rounds_either(addresses, tmp_path, head, capsys):
    (tmp_path / "a.png").write_bytes(served.encoded(0))
    assert main([f"--server={addresses['rest']}", f"--model={head}", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["file", "classes", "labels", scores(head)]
    assert all(value == round(value, 6) for value in found[scores(head)])


@heads
def test_triton_and_kserve_load_either(folder, tmp_path, head):
    """What both of their programs call, and the outputs that Triton is told of."""
    image = served.encoded(0, size=(32, 32))
    classify = Classifier(folder / head / "1")
    assert classify.outputs == ("classes", "labels", scores(head))
    found = {name: value[0].tolist() for name, value in classify([image]).items()}
    found["labels"] = [label.decode() for label in found["labels"]]
    assert found == expected(folder, head, image)
    triton_server.lay_out(tmp_path, head, folder / head / "1")
    text = (tmp_path / head / "config.pbtxt").read_text()
    declared = [line.split('"')[1] for line in text.splitlines() if line.startswith("output")]
    assert declared == list(classify.outputs)
    assert text.count("{") == text.count("}") == 8


@pytest.mark.parametrize("name", ["0", "01", "v1"])
def test_versions_that_triton_ignores_are_refused(name, tmp_path, capsys):
    (tmp_path / name).mkdir()
    for file in ("saved_model.pb", "model.json"):
        (tmp_path / name / file).touch()
    with pytest.raises(SystemExit):
        triton_server.parse([str(tmp_path / name)])
    assert "is not NAME/VERSION, from version 1 on" in capsys.readouterr().err


@heads
def test_the_page_draws_bars_for_probabilities_only(folder, head):
    image = served.encoded(0, size=(32, 32))
    found = Network(folder / head / "1").explain(image)
    right = expected(folder, head, image)
    assert found.labels == right["labels"]
    assert found.scores.tolist() == right[scores(head)]
    assert found.probable == (head != "logits")
    html, first = page.answer(found), page.headline(found)
    count = len(found.labels)
    assert html.count('class="bar"') == html.count('<img class="map"') == count
    if head == "logits":
        assert "track" not in html
        assert " %" not in html + first
        assert f"{found.labels[0]}, {found.scores[0]:.2f}" in first
    else:
        assert html.count('class="track"') == count
        assert page.percent(found.scores[0]).replace("<", "&lt;") in first.replace("< 0", "&lt; 0")


def test_an_export_of_before_is_served_as_softmax(tmp_path):
    """Its `model.json` does not say what follows the logits."""
    (tmp_path / "model.json").write_text(json.dumps({"network": "resnet20"}))
    assert triton_server.scores(tmp_path) == "probabilities"
