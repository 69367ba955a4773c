"""Twenty steps of ResNet-20 on CIFAR-10 on devices of every kind, in a process of its own.

`python tests/support/replicas.py DATA OUT NAME...` writes the weights of each to OUT/NAME.npz; a
name is `NORMS-REPLICAS-XLA`, such as `synchronized-2-off`, or
`synchronized-workers-off` where TF_CONFIG says who the workers are.
"""

import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from train import recipes
from train.datasets.batches import distribute
from train.recipes import plan
from train.recipes.data import Data, open_data
from train.recipes.recipe import Recipe
from train.run import devices, state

STEPS = 20


def recipe(folder: str) -> Recipe:
    """Goes on from a trained network, at a low rate.

    From random weights at the paper's 0.1 the first steps are chaos: rounding doubles in each.
    """
    return recipes.find(
        "cifar10_resnet20",
        init_weights=f"{folder}/weights/akamaster/resnet20-12fca82f.th",
        fields={"zero_channels": "around"},
        preprocessing="weights",
        learning_rate=0.001,
    )


def strategy(replicas: str) -> tf.distribute.Strategy:
    if replicas == "workers":
        return devices.strategy("multi_worker", devices.count("multi_worker", None))
    if replicas == "1":
        return tf.distribute.get_strategy()
    return devices.strategy("mirrored", int(replicas))


def train(data: Data, where: tf.distribute.Strategy, name: str, out: Path) -> None:
    norms, _, xla = name.split("-")
    trained = state.create(data, where, out / "checkpoints")
    for layer in trained.model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable, layer.synchronized = norms != "frozen", norms == "synchronized"
    row = replace(data.recipe, sync_bn=norms == "synchronized")
    step = plan.train_step(
        row, where, trained.model, trained.update, trained.task, jit_compile=xla == "on"
    )
    rate = plan.learning_rate(row)
    batches = distribute(where, data.train_batches(0))
    for number, batch in zip(range(STEPS), batches, strict=False):
        step(*batch, tf.constant(rate(number)))
    trained.average_statistics()
    if trained.chief:
        np.savez(out / f"{name}.npz", **{v.path: np.asarray(v) for v in trained.model.variables})


if __name__ == "__main__":
    folder, out, *names = sys.argv[1:]
    # One strategy in a process: those of two would take each other's messages for their own.
    where = strategy(names[0].split("-")[1])
    opened = open_data(recipe(folder), f"{folder}/tfds")
    for name in names:
        train(opened, where, name, Path(out))
