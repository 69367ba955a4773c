"""A backend for the TensorFlow Serving stand-in that answers, refuses and fails as a test wants."""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from saved_models.serving.client import command
from saved_models.serving.client.command import Client
from saved_models.serving.client.transport import Model
from saved_models.serving.servers.stub import server
from saved_models.serving.servers.stub.loader import Refusal

TRANSPORTS = ("grpc", "rest")
both = pytest.mark.parametrize("way", TRANSPORTS)


class Script:
    """Answers images that name their class, as b"7"; refuses others; fails as it is told.

    Args:
        failures: codes of the first requests; None lets one pass.
    """

    def __init__(self, failures: Any = (), state: str = "AVAILABLE", delay: float = 0.0) -> None:
        self._failures, self._state, self._delay = iter(failures), state, delay
        self.sizes: list[int] = []
        self.times: list[float] = []
        self.threads: set[int] = set()
        self.now = self.most = 0
        self.stuck = threading.Event()
        self._lock = threading.Lock()

    def states(self, asked: Any) -> list[tuple[int, str]]:
        if asked.name != "model":
            raise Refusal("NOT_FOUND", f"Servable not found for request: Latest({asked.name})")
        return [(3, self._state), (2, "END")]

    def signatures(self, asked: Any) -> Any:
        info = type("Info", (), {"dtype": 7})
        signature = type("Signature", (), {"inputs": {"image_bytes": info}})
        return 3, {"predict_bytes": signature}

    def run(self, asked: Any, name: str, inputs: Any, wanted: Any) -> tuple[int, Any]:
        assert (name, list(inputs)) == ("predict_bytes", ["image_bytes"])
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.sizes.append(len(inputs["image_bytes"]))
            self.times.append(time.monotonic())
            self.threads.add(threading.get_ident())
            code = next(self._failures, None)
        try:
            time.sleep(self._delay)
            if code == "STUCK":
                self.stuck.wait(30)
            elif code:
                raise Refusal(code, "as it was told")
            return 3, _answer(inputs["image_bytes"])
        finally:
            with self._lock:
                self.now -= 1


def _answer(images: Any) -> dict[str, np.ndarray]:
    if not all(image.isdigit() for image in images):
        raise Refusal("INVALID_ARGUMENT", "image_bytes hold\n no number [[{{node decode}}]]")
    first = np.array([int(image) for image in images])
    classes = np.stack([first, first + 1], 1)
    labels = np.array([[b"class %d" % i for i in row] for row in classes], object)
    return {"classes": classes, "labels": labels, "probabilities": np.float32(1 / (classes + 1))}


@contextlib.contextmanager
def serving() -> Iterator[Any]:
    """Yields a function that serves a script in one of the two ways, and returns the address."""
    with contextlib.ExitStack() as stack:

        def serve(script: Script, way: str) -> str:
            stack.callback(script.stuck.set)
            return stack.enter_context(server.serving(script))[way]

        yield serve


def images(folder: Path, count: int) -> list[Path]:
    """Writes `count` images that name the class of their number."""
    folder.mkdir(exist_ok=True)
    files = [folder / f"{i:04d}.jpg" for i in range(count)]
    for i, file in enumerate(files):
        file.write_text(str(i))
    return files


def expected(file: Path, number: int) -> dict[str, Any]:
    values = [float(np.float32(1 / (i + 1))) for i in (number, number + 1)]
    labels = [f"class {number}", f"class {number + 1}"]
    return {
        "file": str(file),
        "classes": [number, number + 1],
        "labels": labels,
        "probabilities": pytest.approx(values, rel=1e-6),
    }


def classify(address: str, paths: Any, batch_size: int = 4, **options: Any) -> list[Any]:
    client = Client(address, Model("model"), **options)
    try:
        return list(client.classify(paths, batch_size))
    finally:
        client.close()


def run(address: str, *arguments: str, model: str = "model") -> int:
    return command.main([f"--server={address}", f"--model={model}", *arguments])
