"""Runs with averaged weights and a loss scale, some of whose steps are left out.

`python -m tests.support.updates_on_replicas OUT COUNT` writes what each replica holds after each
step to OUT/NAME.npz. Devices can be split only before TensorFlow uses them.
"""

import os
import sys
from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf

from tests.support.steps_reference import ONE, RATES, RECIPE, batches, network, share
from train.optimize.updates import LossScale, Update
from train.recipes import plan
from train.run import devices

Held = dict[str, np.ndarray]

GOOD_STEPS = 3
AVERAGED = replace(RECIPE, ema=0.8)
# Whose images hold an Inf, the loss scale if it is set before the step, and that after it.
EVENTS = (
    ("last", None, 2.0**14),  # the first step of all
    ("nobody", None, 2.0**14),
    ("nobody", None, 2.0**14),
    ("first", None, 2.0**13),
    ("nobody", None, 2.0**13),
    ("nobody", None, 2.0**13),
    ("nobody", None, 2.0**14),  # the third good one in a row
    ("nobody", None, 2.0**14),  # the first of three again
    ("last", 1.5, 1.0),
    ("nobody", None, 1.0),
    ("first", None, 1.0),  # where the scale cannot help
)
SKIPPED = [1, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0]
GOOD = [i for i, (spoiled, *_) in enumerate(EVENTS) if spoiled == "nobody"]


def held(strategy: tf.distribute.Strategy, model: keras.Model, update: Update) -> Held:
    """All that a step changes, as each replica has it: [replicas, numbers]."""
    optimizer = update.optimizer
    groups = {
        "weights": model.weights,
        "slots": [v for v in optimizer.variables if v is not optimizer.iterations],
        "iterations": [optimizer.iterations],
        "averages": update.averages,
        "scale": [update.scale.value],
    }
    found = {}
    for name, group in groups.items():
        each = [strategy.experimental_local_results(v.value) for v in group]
        rows = [[np.ravel(v) for v in replica] for replica in zip(*each, strict=True)]
        found[name] = np.stack([np.concatenate(row) for row in rows])
    return found


def drill(strategy: tf.distribute.Strategy, examples, jit_compile: bool = False) -> Held:
    """Takes a step with each (loss scale or None, rate, batch).

    Returns what was held before and after each, and its loss and whether it was left out.
    """
    with strategy.scope():
        model = network()
        update = plan.update(AVERAGED, model, scaled=True)
    step = plan.train_step(
        AVERAGED, strategy, model, update, plan.task(AVERAGED), jit_compile=jit_compile
    )
    history = [held(strategy, model, update)]
    metrics = []
    for scale, rate, batch in examples:
        if scale:
            update.scale.value.assign(scale)
        found = step(*share(strategy, batch), tf.constant(rate))
        metrics.append([float(found["loss"]), float(found["skipped"])])
        history.append(held(strategy, model, update))
    stacked = {name: np.stack([row[name] for row in history]) for name in history[0]}
    return stacked | {"metrics": np.array(metrics)}


def examples():
    """The batches and rates of `reference`, over and over, for the steps that shall be good."""
    for number, (spoiled, scale, _) in enumerate(EVENTS):
        turn = sum(good < number for good in GOOD) % len(RATES)
        images, labels, weights = batches()[turn]
        if spoiled != "nobody":
            images[{"first": 0, "last": -1}[spoiled], 3, 3, 0] = np.inf
        yield scale, RATES[turn], (images, labels, weights)


def runs(folder: str, count: int) -> None:
    """Runs in a process of its own, since devices are split before TensorFlow uses them."""
    LossScale.GOOD_STEPS = GOOD_STEPS
    strategy = devices.strategy("mirrored", count)
    found = {}
    if count == 4:
        found["four"] = drill(strategy, examples())
        found["four_jit"] = drill(strategy, examples(), jit_compile=True)
    else:
        found["one"] = drill(ONE, examples())
        found["two"] = drill(strategy, examples())
        keras.config.set_dtype_policy("mixed_float16")
        again = [(scale, 0.05, batches()[0]) for scale in (2.0**22, *[None] * 19)]
        found["float16"] = drill(strategy, again)
    for name, run in found.items():
        np.savez(f"{folder}/{name}.npz", **run)


if __name__ == "__main__":
    runs(sys.argv[1], int(sys.argv[2]))
    os._exit(0)  # without the second that Python needs to take TensorFlow down
