"""Three steps on several replicas, in a process of their own.

`python -m tests.support.steps_on_replicas OUT COUNT` writes the weights and the metrics to
OUT/NAME.npz. Devices can be split only before TensorFlow uses them.
"""

import os
import sys

import numpy as np

from tests.support.steps_reference import train
from train.optimize import statistics
from train.run import devices


def several_replicas(folder: str, count: int) -> None:
    """Runs in a process of its own, since devices are split before TensorFlow uses them."""
    strategy = devices.strategy("mirrored", count)
    model, _ = train(strategy, frozen=True)
    np.savez(f"{folder}/frozen.npz", *model.get_weights())
    model, history = train(strategy)
    statistics.average(strategy, statistics.moving(model))()
    for r in range(count):
        values = [strategy.experimental_local_results(w.value)[r] for w in model.weights]
        np.savez(f"{folder}/own_{r}.npz", *(np.asarray(v) for v in values))
    np.savez(f"{folder}/history.npz", *([h["loss"], h["accuracy"]] for h in history))
    if count == 4:  # as slow as XLA
        compiled, _ = train(strategy, jit_compile=True)
        np.savez(f"{folder}/jit.npz", *compiled.get_weights())


if __name__ == "__main__":
    several_replicas(sys.argv[1], int(sys.argv[2]))
    os._exit(0)  # without the second that Python needs to take TensorFlow down
