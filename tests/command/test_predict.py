"""`keras-resnet predict` says what is computed by hand, with weights and with every export."""

import http.server
import json
import shutil
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_resnet import weights
from keras_resnet.export import onnx, openvino
from keras_resnet.export.source import Source
from keras_resnet.labels import numbers
from keras_resnet.rewrite.fold import fold
from tests.support import exporting, helpers, predicting

COUNT = 5


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Noise of the size of the network: nothing is resized."""
    folder = tmp_path_factory.mktemp("photos")
    for i, pixels in enumerate(noise()):
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def noise() -> np.ndarray:
    return helpers.noise(COUNT, 32, 32, 3, seed=5)


@pytest.fixture(scope="module")
def expected(exported) -> np.ndarray:
    """The probabilities [n, 7], by hand."""
    _, model, _ = exported
    return exporting.by_hand(model, noise().astype(np.float32))[1]


@pytest.fixture(scope="module")
def models(exported, tmp_path_factory) -> dict[str, Path]:
    """What --weights= takes: a file of weights, and an export in each format."""
    out, model, manifest = exported
    folder = tmp_path_factory.mktemp("models")
    shutil.copy(out / "model.json", folder)
    source = Source(fold(model), manifest)
    onnx.write(source, folder / "model.onnx")
    openvino.write(source, folder / "openvino" / "model.xml")
    return {
        "weights": out.parents[1] / "a.keras",
        "SavedModel": out,
        "TFLite": out / "model.tflite",
        "ONNX": folder / "model.onnx",
        "OpenVINO": folder / "openvino" / "model.xml",
    }


def predict(*words: object, **environment: str):
    return helpers.module("keras_resnet", "predict", *map(str, words), **environment)


@pytest.mark.parametrize("kind", ["weights", "SavedModel", "TFLite", "ONNX", "OpenVINO"])
def test_it_says_what_the_network_computes(models, photos, expected, kind):
    rows = predicting.rows(models[kind], "--top=3", photos)
    assert len(rows) == 3 * COUNT
    for i, row in enumerate(rows):
        image, rank = divmod(i, 3)
        best = np.argsort(-expected[image])[rank]
        assert row["file"] == str(photos / f"{image}.png")
        assert (row["rank"], row["class"]) == (str(rank + 1), str(best))
        assert row["label"] == exporting.LABELS[best]
        assert float(row["score"]) == pytest.approx(expected[image, best], abs=1e-4)


def test_a_broken_image_is_named_and_does_not_stop_the_others(models, photos, expected, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes((photos / "0.png").read_bytes()[:500])
    (tmp_path / "note.jpg").write_text("hello")
    words = [photos / "1.png", tmp_path / "gone.png", broken, tmp_path / "note.jpg", "-"]
    done = predict(f"--weights={models['weights']}", "--top=2", *words)
    assert done.returncode == 1
    best, second = np.argsort(-expected[1])[:2]
    assert done.stdout.splitlines() == [
        str(photos / "1.png"),
        f"{100 * expected[1, best]:6.2f} %  class {best}",
        f"{100 * expected[1, second]:6.2f} %  class {second}",
        "",
    ]
    lines = done.stderr.splitlines()
    assert f"{tmp_path}/gone.png: no such file" in lines
    assert any(line.startswith(f"{broken}: cannot be decoded: ") for line in lines)
    told = "cannot be decoded: it is not a JPEG, PNG, WebP, BMP or GIF"
    assert f"{tmp_path}/note.jpg: {told}" in lines
    assert lines[-1] == "error: 4 of 5 images could not be read"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *given) -> None: ...


def test_urls_and_json(models, photos, expected):
    server = http.server.ThreadingHTTPServer(
        ("localhost", 0), partial(Quiet, directory=str(photos))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://localhost:{server.server_port}"
    words = [f"{address}/2.png", f"{address}/none.png"]
    done = predict(f"--weights={models['TFLite']}", "--json", "--top=99", *words)
    server.shutdown()
    server.server_close()
    assert done.returncode == 1
    found, failed = map(json.loads, done.stdout.splitlines())
    order = np.argsort(-expected[2])
    assert found["file"] == words[0]
    assert found["classes"] == order.tolist()
    assert found["labels"] == [exporting.LABELS[i] for i in order]
    np.testing.assert_allclose(found["probabilities"], expected[2][order], atol=1e-4)
    assert failed == {
        "file": words[1],
        "error": "cannot be downloaded: HTTP Error 404: File not found",
    }


def test_an_archive_tells_the_accuracy(models, expected, tmp_path):
    labels = expected.argmax(1)
    labels[0] = (labels[0] + 1) % 7
    np.savez(tmp_path / "a.npz", images=noise().astype(np.float32), labels=labels)
    done = predict(f"--weights={models['SavedModel']}", "--csv", "--top=1", tmp_path / "a.npz")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].startswith(f"{tmp_path}/a.npz[0],1,")
    assert "top-1 80.00 % of 5 images with a label" in done.stderr.splitlines()


def test_evidence_is_drawn_and_classes_without_names_are_told_once(photos, tmp_path):
    model, manifest = exporting.network("resnet20", repeats=[1])
    unnamed = replace(manifest, labels=numbers(7))
    weights.save(model, tmp_path / "a.weights.h5", unnamed)
    words = [f"--weights={tmp_path}/a.weights.h5", f"--evidence={tmp_path}/maps", "--top=1"]
    done = predict(*words, photos / "0.png", photos / "1.png")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("do not name their classes: labels are their numbers") == 1
    assert f"wrote 2 pictures to {tmp_path}/maps" in done.stderr
    for name in ("0.png", "1.png"):
        with Image.open(tmp_path / "maps" / name) as picture:
            assert picture.width > 2 * picture.height  # image and evidence, side by side


REFUSED = {
    "no images": (["--weights={weights}"], "no images: give files, folders, https://... or - for"),
    "an image as weights": (
        ["--weights={photo}", "{photo}"],
        "is an image: --weights takes weights or an",
    ),
    "both": (["--weights={weights}", "--json", "--csv", "{photo}"], "--json or --csv, not both"),
    "flags of weights": (
        ["--weights={TFLite}", "--mean=1", "--network=resnet20", "{photo}"],
        "--mean, --network describes weights, and {TFLite} is an export",
    ),
    "evidence of an export": (
        ["--weights={ONNX}", "--evidence=maps", "{photo}"],
        "--evidence needs the network, and --weights={ONNX} is an export: give the weights that",
    ),
    "no weights": (["{photo}"], "--weights is missing: File, URL or hf://"),
    "slip": (["--model={weights}", "{photo}"], "unknown flag --model: did you mean --weights?"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_one_line(models, photos, name, tmp_path):
    words, text = REFUSED[name]
    places = {**models, "photo": photos / "0.png"}
    done = predict(*(word.format(**places) for word in words))
    assert done.returncode == 1
    assert done.stdout == ""
    assert text.format(**places) in done.stderr.splitlines()[-1]
    assert done.stderr.splitlines()[-1].startswith("error: ")
