"""Statistics of normalization on one or several replicas: precise, synchronized and averaged.

`python -m tests.support.statistics_on_replicas OUT COUNT` writes what each replica has to
OUT/NAME_REPLICA.npz. Devices can be split only before TensorFlow uses them.
"""

import os
import sys
from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf

from keras_resnet import transfer
from tests.support.steps_reference import ONE, RATES, RECIPE, batches, network, share
from train.optimize import statistics
from train.recipes import plan
from train.run import devices

Arrays = list[np.ndarray]

FROZEN = ("stage2",)
COUNT = 3
MOMENTUM = 0.7


def prepared() -> keras.Model:
    """A network with a frozen stage, whose normalizations forget at a pace of their own."""
    model = network()
    transfer.freeze(model, FROZEN)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = MOMENTUM
    return model


def statistics_of(model: keras.Model, strategy=ONE, replica: int = 0) -> dict[str, np.ndarray]:
    found = [w for w in model.weights if "moving" in w.path]
    return {
        w.path: np.asarray(strategy.experimental_local_results(w.value)[replica]) for w in found
    }


def precise(strategy: tf.distribute.Strategy) -> list[dict[str, np.ndarray]]:
    with strategy.scope():
        model = prepared()
    shared = (share(strategy, batch) for batch in batches(COUNT + 1))
    statistics.precise(strategy, model, tf.identity, shared, COUNT)
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert {layer.momentum for layer in norms} == {MOMENTUM}
    count = strategy.num_replicas_in_sync
    return [statistics_of(model, strategy, replica) for replica in range(count)]


def synchronized(strategy: tf.distribute.Strategy, together: bool) -> list[Arrays]:
    """The weights of each replica after three steps of training."""
    recipe = replace(RECIPE, sync_bn=together)
    with strategy.scope():
        model = network()
        statistics.synchronize(model, together)
        update = plan.update(recipe, model)
    step = plan.train_step(recipe, strategy, model, update, plan.task(recipe))
    for rate, batch in zip(RATES, batches(), strict=True):
        step(*share(strategy, batch), tf.constant(rate))
    each = [strategy.experimental_local_results(w.value) for w in model.weights]
    return [[np.asarray(v) for v in replica] for replica in zip(*each, strict=True)]


def averaged(strategy: tf.distribute.Strategy) -> list[Arrays]:
    """Two variables of which each replica has a value of its own, and then the mean of all."""
    with strategy.scope():
        variables = [keras.Variable(tf.zeros(shape), trainable=False) for shape in [(3,), ()]]

    def replica() -> None:
        own = tf.distribute.get_replica_context().replica_id_in_sync_group
        for variable in variables:
            variable.assign(tf.fill(variable.shape, 2.0 ** tf.cast(own, tf.float32)))

    tf.function(lambda: strategy.run(replica))()
    statistics.average(strategy, variables)()
    each = [strategy.experimental_local_results(v.value) for v in variables]
    return [[np.asarray(v) for v in row] for row in zip(*each, strict=True)]


def several_replicas(folder: str, count: int) -> None:
    """Runs in a process of its own, since devices are split before TensorFlow uses them."""
    strategy = devices.strategy("mirrored", count)
    found = {"averaged": averaged(strategy), "together": synchronized(strategy, True)}
    if count == 2:
        found["apart"] = synchronized(strategy, False)
        found["precise"] = [list(row.values()) for row in precise(strategy)]
    for name, replicas in found.items():
        for replica, values in enumerate(replicas):
            np.savez(f"{folder}/{name}_{replica}.npz", *values)


if __name__ == "__main__":
    several_replicas(sys.argv[1], int(sys.argv[2]))
    os._exit(0)  # without the second that Python needs to take TensorFlow down
