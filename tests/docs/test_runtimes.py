"""The code of docs/runtimes.md runs, in the order of the page, and all runtimes agree."""

import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from keras_resnet.export import onnx, openvino, tflite
from keras_resnet.export.job import Job, export
from keras_resnet.export.source import Source
from keras_resnet.rewrite.fold import fold
from tests.support import exporting, helpers

PAGE = (helpers.ROOT / "docs" / "runtimes.md").read_text(encoding="utf-8")
BLOCKS = re.findall("```python\n(.*?)```", PAGE, re.DOTALL)
FORMATS = ("saved_model", "tflite", "tflite_int8", "onnx", "openvino")
LIBRARIES = ("ai_edge_litert", "onnxruntime", "openvino")
MEDIAPIPE = os.environ.get("KERAS_RESNET_MEDIAPIPE")  # a Python that has it


def photograph(folder: Path) -> None:
    pixels = exporting.pixels(1)[0].astype(np.uint8)
    Image.fromarray(pixels).save(folder / "photo.jpg", quality=100)


def expected(images: np.ndarray) -> np.ndarray:
    """The probabilities of the network that the tests export."""
    model, _ = exporting.network("resnet20", repeats=[1, 1])
    return exporting.by_hand(model, images)[1]


def run(*words: str) -> Mapping[str, Any]:
    """Runs the blocks that name a library or a file; returns the probabilities of each."""
    names: dict[str, Any] = {}
    for block in BLOCKS:
        wanted = "folder =" in block or any(word in block for word in words)
        if wanted and "mediapipe" not in block:
            names.pop("probabilities", None)
            exec(block, names)
            names[block.split()[1].partition(".")[0]] = names.get("probabilities")
    return names


def test_three_runtimes_answer_what_the_network_does(tmp_path, monkeypatch, capsys):
    model, manifest = exporting.network("resnet20", repeats=[1, 1])
    folder = tmp_path / "saved_models" / "digits" / "1"
    folder.mkdir(parents=True)
    source = Source(fold(model), manifest)
    tflite.write(source, folder / "model.tflite", "float32")
    onnx.write(source, folder / "model.onnx")
    openvino.write(source, folder / "openvino" / "model.xml")
    about = {"image_shape": manifest.image_shape, "labels": manifest.labels}
    (folder / "model.json").write_text(json.dumps(about))
    photograph(tmp_path)
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    found = run(*LIBRARIES)
    wanted = expected(found["images"])
    for library in LIBRARIES:
        exporting.close(found[library], wanted)
    assert capsys.readouterr().out.splitlines() == [f"['{exporting.LABELS[wanted.argmax()]}']"] * 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with a whole export and the photograph that the page names."""
    place = tmp_path_factory.mktemp("runtimes")
    model, manifest = exporting.network("resnet20", repeats=[1, 1])
    job = Job(FORMATS, calibration=exporting.pixels(8))
    export(model, manifest, place / "saved_models" / "digits" / "1", job)
    photograph(place)
    return place


@pytest.mark.slow
def test_all_files_of_an_export_answer_the_same(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    capsys.readouterr()
    found = run("import tensorflow as tf", "ai_edge_litert", "model_int8.tflite")
    best = exporting.LABELS[expected(found["images"]).argmax()]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"[b'{best}'")
    assert lines[1:] == [f"['{best}']"] * 2


@pytest.mark.slow
@pytest.mark.skipif(MEDIAPIPE is None, reason="KERAS_RESNET_MEDIAPIPE names no Python with it")
def test_mediapipe_answers_the_same(folder):
    [block] = [block for block in BLOCKS if "mediapipe" in block]
    command = [str(MEDIAPIPE), "-c", f"{block}\nimport os, sys\nsys.stdout.flush()\nos._exit(0)"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    wanted = expected(np.asarray(Image.open(folder / "photo.jpg"), np.float32)[None])[0]
    scores = {" ".join(row[:2]): float(row[2]) for row in map(str.split, done.stdout.splitlines())}
    assert len(scores) == 5
    for name, score in scores.items():
        assert abs(score - wanted[exporting.LABELS.index(name)]) < 1e-3
