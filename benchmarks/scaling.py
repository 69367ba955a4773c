"""Training batches by the number of cores: `python -m benchmarks.scaling [FOLDER]`.

As `benchmarks.pipeline`, in seconds of the clock: nothing else may run on these cores.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import measure, pipeline
from train import datasets
from train.run import machine

WARM_UP, BATCHES = 8, 32
ROUNDS = 5


def seconds(folder: str) -> float:
    """Returns the seconds in which the batches come."""
    machine.keep_freed_memory()
    with tempfile.TemporaryDirectory() as made, tempfile.TemporaryDirectory() as links:
        if not folder:
            pipeline.photographs(Path(made))
        pipeline.linked(Path(folder or made), Path(links))
        examples = datasets.load("folder", "train", links)
        batches = pipeline.ours(examples)["keras_resnet, training"]
        for _ in range(WARM_UP):
            next(batches)
        start = time.perf_counter()
        for _ in range(BATCHES):
            next(batches)
        return time.perf_counter() - start


def main(folder: str = "") -> None:
    counts = {"1 core": 1, f"{measure.cores()} cores": measure.cores()}
    taken: dict[str, list[float]] = {name: [] for name in counts}
    for _ in range(ROUNDS):
        for name, count in counts.items():
            call = f"measure.pin({count}); print(scaling.seconds({folder!r}))"
            program = ["-c", f"from benchmarks import measure, scaling; {call}"]
            done = subprocess.run([sys.executable, *program], capture_output=True, check=True)
            taken[name].append(float(done.stdout.split()[-1]))
    measure.Table(
        "scaling",
        f"python -m benchmarks.scaling{' FOLDER' if folder else ''}",
        "images per second",
        "1 core",
        measure.rates(taken, BATCHES * pipeline.BATCH),
    ).write()


if __name__ == "__main__":
    main(*sys.argv[1:2])
