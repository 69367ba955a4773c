"""Steps with clipped gradients and micro-batches on several replicas, in a process of their own.

`python -m tests.support.step_options_on_replicas OUT COUNT` writes the weights to OUT/options.npz,
and those with XLA to OUT/jit.npz. Devices can be split only before TensorFlow uses them.
"""

import os
import sys
from dataclasses import replace

import numpy as np

from tests.support.steps_reference import RECIPE, train
from train.run import devices

PLAIN = replace(RECIPE, weight_decay=0.0, label_smoothing=0.0)
CLIPPED = replace(PLAIN, clip_norm=0.05, weight_decay=0.01)
BOTH = replace(CLIPPED, micro_batches=2)


def several_replicas(folder: str, count: int) -> None:
    """Runs in a process of its own, since devices are split before TensorFlow uses them."""
    strategy = devices.strategy("mirrored", count)
    model, _ = train(strategy, frozen=True, recipe=BOTH)
    np.savez(f"{folder}/options.npz", *model.get_weights())
    if count == 4:  # as slow as XLA
        model, _ = train(strategy, frozen=True, jit_compile=True, recipe=BOTH)
        np.savez(f"{folder}/jit.npz", *model.get_weights())


if __name__ == "__main__":
    several_replicas(sys.argv[1], int(sys.argv[2]))
    os._exit(0)  # without the second that Python needs to take TensorFlow down
