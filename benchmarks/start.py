"""Import, building and the first training step: `python -m benchmarks.start [ROUNDS]`.

Each contestant is a fresh process on one core; they take turns. CPU seconds and the peak of memory
are those of the whole process, so the steps include the import and the building.
"""

import os
import subprocess
import sys
from collections.abc import Mapping

from benchmarks import measure

STOCK = "import keras\nmodel = keras.applications.ResNet50(weights=None)"
OURS = "import keras_resnet\nmodel = keras_resnet.resnet({0!r}, input_shape=({1}, {1}, 3))"
STEP = """
import keras, numpy as np
model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
images = np.zeros(({0}, *model.input.shape[1:]), "float32")
model.train_on_batch(images, np.zeros({0}))
"""
REFERENCE = "keras.applications, first step"


def scripts(network: str, size: int, deep: str, batch: int) -> dict[str, str]:
    """Returns the programs that are measured.

    Args:
        network: built, and trained for one step.
        size: height and width of its images.
        deep: built only, for images of 32x32.
        batch: images of the step.
    """
    ours = OURS.format(network, size)
    return {
        "keras, import": "import keras",
        "keras_resnet, import": "import keras_resnet",
        "keras.applications, ResNet-50 built": STOCK,
        f"keras_resnet, {network} built": ours,
        f"keras_resnet, {deep} built": OURS.format(deep, 32),
        REFERENCE: STOCK + STEP.format(batch),
        f"keras_resnet, first step of {network}": ours + STEP.format(batch),
    }


def run(*arguments: str) -> tuple[float, float]:
    """Runs Python with some arguments; returns its CPU seconds, and its peak of memory in GB.

    Raises:
        RuntimeError: if it fails.
    """
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, *arguments]
    away = subprocess.DEVNULL
    with subprocess.Popen(command, env=quiet, stdout=away, stderr=away) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"exit code {process.returncode} of:\n{' '.join(arguments)}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1e6


def alternate(programs: Mapping[str, str], rounds: int) -> tuple[measure.Table, measure.Table]:
    """Returns the tables of CPU seconds and of memory."""
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    memory: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, script in programs.items():
            used, peak = run("-c", script)
            seconds[name].append(used)
            memory[name].append(peak)
    command = f"python -m benchmarks.start {rounds}"
    return (
        measure.Table("start", command, "CPU seconds", REFERENCE, seconds),
        measure.Table("start_memory", command, "GB at the peak", REFERENCE, memory),
    )


def main(rounds: int = 5) -> None:
    measure.pin()
    for table in alternate(scripts("resnet50", 224, "resnet1202", 16), rounds):
        table.write()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
