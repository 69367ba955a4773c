"""Servers of other people's making, each in a process, in an environment of their own."""

import base64
import contextlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import tensorflow as tf

from tests.support import helpers

PYTHON = helpers.ROOT / ".venv" / "servers" / "bin" / "python"
needed = pytest.mark.skipif(
    not PYTHON.exists(), reason="no .venv/servers with the real servers; `make test-slow` makes it"
)
STARTING = 120  # seconds
JUNK = b"no image"
NOT_AN_IMAGE = "image_bytes are not a JPEG, PNG or WebP"


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)
        ]
        return [each.getsockname()[1] for each in sockets]


@contextlib.contextmanager
def running(log: Path, ready: str, module: str, *arguments: str) -> Iterator[subprocess.Popen]:
    """Runs a module until it is ready, and ends it as its host would: with SIGTERM."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    command = [str(PYTHON), "-m", module, *arguments]
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=helpers.ROOT, env=environment, stdout=output, stderr=output
        )
    try:
        _wait(process, ready, log)
        yield process
        assert process.poll() is None, log.read_text()
    finally:
        process.terminate()
        try:
            process.wait(60)
        finally:
            process.kill()


def _wait(process: subprocess.Popen, ready: str, log: Path) -> None:
    end = time.monotonic() + STARTING
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(requests.ConnectionError):
            if requests.get(ready, timeout=5).ok:
                return
        time.sleep(0.2)
    raise AssertionError(log.read_text())


class Asker:
    """NVIDIA's clients, in a process of their own, since they live in the other environment."""

    def __init__(self, **common: Any) -> None:
        script = str(Path(__file__).with_name("triton_client.py"))
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen([str(PYTHON), script], **pipes)
        self._common = common

    def all(self, batches: list[list[bytes]], **how: Any) -> list[dict[str, Any]]:
        """Sends each batch in a request of its own, all at the same time."""
        encoded = [[base64.b64encode(image).decode() for image in batch] for batch in batches]
        asked = [{**self._common, **how, "images": images} for images in encoded]
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def __call__(self, images: list[bytes], **how: Any) -> dict[str, Any]:
        return self.all([images], **how)[0]

    def close(self) -> None:
        self._process.stdin.close()
        self._process.stdout.close()
        assert self._process.wait(30) == 0


def photos(folder: Path, count: int = 6) -> list[bytes]:
    """The bytes of real photographs, and of one of them as PNG."""
    files = sorted((folder / "imagenet_mini" / "images").rglob("*.*"))[: count - 1]
    images = [file.read_bytes() for file in files]
    return [*images, tf.io.encode_png(tf.io.decode_jpeg(images[0], channels=3)).numpy()]


def by_keras(model: Any, manifest: Any, images: list[bytes]) -> np.ndarray:
    """The probabilities [batch, classes] of the network that was exported, by Keras."""
    decoded = [tf.io.decode_image(image, 3, expand_animations=False) for image in images]
    pixels = np.stack([manifest.preprocessing(image) for image in decoded])
    return tf.nn.softmax(model(pixels, training=False)).numpy()


def check(answer: dict[str, Any], expected: np.ndarray, labels: tuple[str, ...]) -> None:
    """Compares an answer with probabilities [batch, classes]; ties of 1e-5 may change places."""
    classes = np.array(answer["classes"])
    best = np.sort(expected, 1)[:, ::-1][:, : classes.shape[1]]
    np.testing.assert_allclose(answer["probabilities"], best, atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(expected, classes, 1), best, atol=1e-5)
    assert answer["labels"] == [[labels[i] for i in row] for row in classes]
