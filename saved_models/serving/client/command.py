"""Classifies images with TensorFlow Serving; needs neither Keras nor TensorFlow's Python.

    python -m saved_models.serving.client --server=HOST:8500 --model=NAME FILE_OR_FOLDER...

HOST:PORT speaks gRPC, http://HOST:PORT speaks REST. For each image one line of JSON is printed, in
the order given: its file with classes, labels and probabilities, best first, or with an error.
A network without probabilities returns logits instead.
--status prints the states of the model's versions instead. Exit code 0: success. 1: some images
have no answer, or no version is available. 2: the server cannot be asked; one line on stderr says
why.
"""

import contextlib
import itertools
import json
import os
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from saved_models.serving.client import files, flags
from saved_models.serving.client.transport import SCORES, Failure, Kind, Model, Transport, persist

if TYPE_CHECKING:
    import argparse

Result = dict[str, Any]  # file, and either classes, labels and scores, or error
LOST = 3  # successive batches without an answer after which the server counts as unreachable


class Client:
    """Classifies images with one model of one server.

    Args:
        server: HOST:PORT for gRPC, or http://HOST:PORT for REST.
        model: which model, and which version of it.
        timeout: seconds per attempt.
        retries: how often a request is repeated after a transient failure.
        concurrency: the most requests at a time.

    Raises:
        ValueError: for an invalid address.
    """

    def __init__(
        self,
        server: str,
        model: Model,
        *,
        timeout: float = 30.0,
        retries: int = 4,
        concurrency: int = 4,
    ) -> None:
        self._transport = connect(server, model, timeout)
        self._model = model
        self._retries = retries
        self._concurrency = concurrency
        self._stop = threading.Event()

    def status(self) -> list[dict[str, Any]]:
        """Returns `version`, `state` and `status` of each version; raises Failure."""
        return persist(self._transport.status, self._retries, self._stop)

    def check(self) -> None:
        """Raises Failure unless a version of the model is available."""
        states = self.status()
        if not any(row["state"] == "AVAILABLE" for row in states):
            found = ", ".join(f"{row['version']} {row['state']}" for row in states) or "none"
            reason = f"model {self._model.name} has no version to answer: {found}"
            raise Failure(Kind.FATAL, "UNAVAILABLE", reason)

    def classify(self, paths: Iterable[Path], batch_size: int = 8) -> Iterator[Result]:
        """Yields a result for each image of files and folders, in their order.

        A result is a dictionary: `file`, and `classes`, `labels` and `probabilities` (or `logits`),
        each a list, best first; or `file` and `error`. Only the images of open requests are in
        memory. If the server refuses an image, the others of its request are sent again without it.

        Args:
            paths: files, and folders of images.
            batch_size: the most images per request.

        Raises:
            Failure: if no further request would succeed.
        """
        batches = files.batches(files.walk(paths), batch_size)
        pending: deque[tuple[list[Path], Future[list[Result]]]] = deque()
        lost = 0
        pool = ThreadPoolExecutor(self._concurrency)
        try:
            while True:
                for batch in itertools.islice(batches, 2 * self._concurrency - len(pending)):
                    pending.append((batch, pool.submit(self._batch, batch)))
                if not pending:
                    return
                batch, answers = pending.popleft()
                try:
                    yield from answers.result()
                    lost = 0
                except Failure as failure:
                    lost += 1
                    if failure.kind is Kind.FATAL or lost == LOST:
                        raise
                    yield from (_failed(file, failure) for file in batch)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """Cancels open requests, and repeats no further ones."""
        self._stop.set()
        self._transport.close()

    def _batch(self, batch: list[Path]) -> list[Result]:
        results: dict[Path, Result] = {}
        images: dict[Path, bytes] = {}
        for file in batch:
            try:
                images[file] = files.read(file)
            except OSError as error:
                results[file] = _failed(file, error.strerror or error)
        results |= self._answers(images)
        return [results[file] for file in batch]

    def _answers(self, images: dict[Path, bytes]) -> dict[Path, Result]:
        if not images:
            return {}
        try:
            answers = persist(
                lambda: self._transport.predict(list(images.values())), self._retries, self._stop
            )
        except Failure as failure:
            if failure.kind is not Kind.REFUSED:
                raise
            if len(images) == 1:
                return {file: _failed(file, failure) for file in images}
            return self._one_by_one(images)
        pairs = zip(images, answers, strict=True)
        return {file: {"file": str(file), **answer} for file, answer in pairs}

    def _one_by_one(self, images: dict[Path, bytes]) -> dict[Path, Result]:
        results: dict[Path, Result] = {}
        for file, image in images.items():
            try:
                results |= self._answers({file: image})
            except Failure as failure:
                if failure.kind is Kind.FATAL:
                    raise
                results[file] = _failed(file, failure)
        return results


def connect(server: str, model: Model, timeout: float) -> Transport:
    """Returns the transport for an address; only the packages of that transport are imported.

    Args:
        server: HOST:PORT for gRPC, or http://HOST:PORT for REST.
        model: which model, and which version of it.
        timeout: seconds per attempt.

    Raises:
        ValueError: for an invalid address.
    """
    scheme, _, address = server.rpartition("://")
    with contextlib.suppress(ValueError):  # the port is not a number
        place = urlsplit(f"//{address}")
        if scheme in {"http", "https"} and place.hostname:
            from saved_models.serving.client.rest import Rest

            return Rest(server, model, timeout)
        if not scheme and place.hostname and place.port and not place.path:
            from saved_models.serving.client.rpc import Rpc

            return Rpc(address, model, timeout)
    raise ValueError(f"--server must be HOST:PORT or http://HOST:PORT, got {server!r}")


def _failed(file: Path, error: object) -> Result:
    return {"file": str(file), "error": str(error)}


def _line(result: Result) -> str:
    rounded = {name: [round(x, 6) for x in result[name]] for name in SCORES if name in result}
    return json.dumps(result | rounded)


def _run(chosen: "argparse.Namespace", client: Client) -> int:
    from tqdm import tqdm

    if chosen.status:
        states = client.status()
        for row in states:
            print(json.dumps(row))
        return 0 if any(row["state"] == "AVAILABLE" for row in states) else 1
    client.check()
    count = 0
    failed = 0
    total = sum(1 for _ in files.walk(chosen.paths))
    with tqdm(total=total, unit="image", disable=None) as bar:  # without a bar if stderr is a file
        for result in client.classify(chosen.paths, chosen.batch_size):
            tqdm.write(_line(result), file=sys.stdout)
            sys.stdout.flush()
            count += 1
            failed += "error" in result
            bar.update()
    if failed or not count:
        problem = f"{failed} of {count} images have no answer" if count else "no images found"
        sys.stderr.write(f"error: {problem}\n")
    return 1 if failed or not count else 0


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    chosen = flags.parse(__doc__, arguments)
    client = None
    try:
        client = Client(
            chosen.server,
            Model(chosen.model, chosen.version, chosen.version_label),
            timeout=chosen.timeout,
            retries=chosen.retries,
            concurrency=chosen.concurrency,
        )
        return _run(chosen, client)
    except (Failure, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except ImportError as error:
        sys.stderr.write(f"error: {error}: pip install 'he-keras-resnet[serving]'\n")
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader is gone, as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    finally:
        if client:
            client.close()
