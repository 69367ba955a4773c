"""Steps of a quantized network, on one replica and on two.

`python -m tests.support.quantized_steps START OUT` takes one on two replicas from the weights
START, and writes the variables of both to OUT/replicas.npz. Devices can be split only before
TensorFlow uses them.
"""

import os
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tests.support import helpers
from train.datasets.batches import distribute
from train.recipes import plan
from train.recipes.data import open_data
from train.recipes.recipe import Recipe
from train.run import devices, state

ONE = tf.distribute.get_strategy()
SHAPE = (8, 8, 1)
FIELDS = {"repeats": [1, 1]}


def recipe(start: str, **changes) -> Recipe:
    values = {
        "init_weights": start,
        "quantize": True,
        "preprocessing": "weights",
        "fields": FIELDS,
        "weight_decay": 0.0,
        "learning_rate": 0.01,
    }
    return helpers.recipe(**{**values, **changes})


def stepped(start: str, where: tf.distribute.Strategy, folder: Path, **changes) -> keras.Model:
    """The network after a step on one batch; XLA compiles it on request."""
    jit = changes.pop("jit_compile", False)
    data = open_data(recipe(start, **changes), None)
    trained = state.create(data, where, folder)
    step = plan.train_step(
        data.recipe, where, trained.model, trained.update, trained.task, jit_compile=jit
    )
    batch = next(iter(distribute(where, data.train_batches(0))))
    assert np.isfinite(step(*batch, tf.constant(0.01))["loss"])
    trained.average_statistics()
    return trained.model


def two_replicas(start: str, folder: str) -> None:
    """Runs in a process of its own, since devices are split before TensorFlow uses them."""
    where = devices.strategy("mirrored", 2)
    model = stepped(start, where, Path(folder))
    found = {
        f"{w.path}/{replica}".replace("/", "."): where.experimental_local_results(w.value)[replica]
        for w in model.weights
        for replica in range(2)
    }
    np.savez(f"{folder}/replicas.npz", **{name: np.asarray(value) for name, value in found.items()})


if __name__ == "__main__":
    two_replicas(*sys.argv[1:])
    os._exit(0)  # without the second that Python needs to take TensorFlow down
