"""Many clients at once.

    python -m benchmarks.serving_load EXPORT_DIR [FOLDER_OF_IMAGES [CLIENTS [REQUESTS]]]

Asks an export over gRPC and REST, in the stub of TensorFlow Serving. No request may be lost, and
every answer has to be the one that a single client gets. Latencies are those of the stub, which is
Python, on a machine that it shares with the clients.
"""

import io
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from saved_models.serving.client import files
from saved_models.serving.client.command import connect
from saved_models.serving.client.transport import Answer, Failure, Model

CLIENTS = 32
REQUESTS = 2000
KINDS = 32  # different images
NAME = "model"
CONFIG = 'model_config_list {{ config {{ name: "{0}" base_path: "{1}" {2} }} }}'
POLICY = "model_version_policy {{ specific {{ versions: {0} }} }}"


@contextmanager
def stub(export: Path) -> Iterator[dict[str, str]]:
    """Serves one version of a model; yields the addresses of gRPC and REST."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "models.config")
        file.write_text(CONFIG.format(NAME, export.parent, POLICY.format(export.name)))
        command = [sys.executable, "-m", "saved_models.serving.servers.stub", str(file)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, cwd=Path(__file__).parents[1], text=True, **pipes) as server:
            assert server.stdout
            assert server.stdin
            try:
                yield json.loads(server.stdout.readline())
            finally:
                server.stdin.close()


def images(folder: str | None) -> list[bytes]:
    """Returns the first images of a folder or, without one, random images, as encoded files."""
    if folder:
        return [f.read_bytes() for f in itertools.islice(files.walk([Path(folder)]), KINDS)]
    made = []
    for i in range(KINDS):
        coarse = np.random.default_rng(i).integers(0, 256, (24, 32, 3)).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(coarse).resize((500, 375), Image.Resampling.BICUBIC).save(file, "JPEG")
        made.append(file.getvalue())
    return made


def load(address: str, photographs: list[bytes], clients: int, requests: int) -> dict[str, Any]:
    """Shares requests of one image among clients; returns counts, and percentiles of latencies."""
    first = connect(address, Model(NAME), 60.0)
    alone: list[Answer] = [first.predict([image])[0] for image in photographs]
    numbers = iter(range(requests))  # shared: a client that is ready takes the next one

    def client(_: int) -> list[tuple[float, str]]:
        own = connect(address, Model(NAME), 60.0)
        rows = []
        for number in numbers:
            which = number % len(photographs)
            start = time.perf_counter()
            try:
                [answer] = own.predict([photographs[which]])
                outcome = "right" if answer == alone[which] else "wrong"
            except Failure as failure:
                outcome = str(failure)
            rows.append((time.perf_counter() - start, outcome))
        own.close()
        return rows

    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        answers = [row for rows in pool.map(client, range(clients)) for row in rows]
    seconds = time.perf_counter() - start
    first.close()
    outcomes = [outcome for _, outcome in answers]
    failures = sorted(set(outcomes) - {"right", "wrong"})
    p50, p90, p99 = 1000 * np.percentile([latency for latency, _ in answers], [50, 90, 99])
    return {
        "clients": clients,
        "requests": requests,
        "lost": requests - outcomes.count("right") - outcomes.count("wrong"),
        "wrong": outcomes.count("wrong"),
        "failures": failures[:3],
        "images_a_second": round(requests / seconds, 1),
        "p50_ms": round(p50, 1),
        "p90_ms": round(p90, 1),
        "p99_ms": round(p99, 1),
    }


def main(export: str, folder: str = "", clients: str = "", requests: str = "") -> int:
    photographs = images(folder)
    counts = (int(clients or CLIENTS), int(requests or REQUESTS))
    bad = 0
    with stub(Path(export).resolve()) as addresses:
        for way, address in addresses.items():
            row = load(address, photographs, *counts)
            print(json.dumps({"way": way, **row}), flush=True)
            bad += row["lost"] + row["wrong"]
    return 1 if bad else 0


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 5:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
