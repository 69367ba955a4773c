"""Many clients at once.

    python -m benchmarks.serving_load EXPORT_DIR [FOLDER_OF_IMAGES [CLIENTS [REQUESTS]]]

Asks an export, in TensorFlow's C++ SavedModel loader behind the protocol stub of the tests, over
gRPC and REST: what matters is that nothing is lost, and that answers are those of a client
that is alone. Latencies are of the stub, which is Python, on a machine that the clients share.
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

CLIENTS, REQUESTS, KINDS = 32, 2000, 32
NAME = "model"
CONFIG = 'model_config_list {{ config {{ name: "{0}" base_path: "{1}" {2} }} }}'
POLICY = "model_version_policy {{ specific {{ versions: {0} }} }}"


@contextmanager
def stub(export: Path) -> Iterator[dict[str, str]]:
    """Serves one version of a model; yields the addresses of gRPC and REST."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "models.config")
        file.write_text(CONFIG.format(NAME, export.parent, POLICY.format(export.name)))
        command = [sys.executable, "-m", "tests.support.serving_stub", str(file)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, cwd=Path(__file__).parents[1], text=True, **pipes) as server:
            assert server.stdout
            assert server.stdin
            try:
                yield json.loads(server.stdout.readline())
            finally:
                server.stdin.close()


def images(folder: str | None) -> list[bytes]:
    """Reads the first images of a folder, or makes such up that are all different."""
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
    """Shares requests of one image among clients; returns what came of them, and percentiles."""
    first = connect(address, Model(NAME), 60.0)
    alone: list[Answer] = [first.predict([image])[0] for image in photographs]
    numbers = iter(range(requests))  # shared: who is ready takes the next

    def client(_: int) -> list[tuple[float, str]]:
        own, told = connect(address, Model(NAME), 60.0), []
        for number in numbers:
            which = number % len(photographs)
            start = time.perf_counter()
            try:
                [answer] = own.predict([photographs[which]])
                outcome = "right" if answer == alone[which] else "wrong"
            except Failure as failure:
                outcome = str(failure)
            told.append((time.perf_counter() - start, outcome))
        own.close()
        return told

    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        told = [row for rows in pool.map(client, range(clients)) for row in rows]
    seconds = time.perf_counter() - start
    first.close()
    failures = sorted({outcome for _, outcome in told} - {"right", "wrong"})
    p50, p90, p99 = 1000 * np.percentile([latency for latency, _ in told], [50, 90, 99])
    return {
        "clients": clients,
        "requests": requests,
        "lost": requests - sum(outcome in {"right", "wrong"} for _, outcome in told),
        "wrong": sum(outcome == "wrong" for _, outcome in told),
        "failures": failures[:3],
        "images_a_second": round(requests / seconds, 1),
        "p50_ms": round(p50, 1),
        "p90_ms": round(p90, 1),
        "p99_ms": round(p99, 1),
    }


def main(export: str, folder: str = "", clients: str = "", requests: str = "") -> int:
    photographs, counts = images(folder), (int(clients or CLIENTS), int(requests or REQUESTS))
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
