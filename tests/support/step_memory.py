"""The bound of a step's memory and its peak: `python -m tests.support.step_memory CASE`.

CASE is JSON: [network, batch size, image size, precision, changes of the recipe]. Prints, as JSON,
what `train.run.memory` says that two steps need at least, and what they took, in bytes. It runs in
a process of its own, whose peak is that of the steps alone.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

import tensorflow as tf

import keras_resnet
from keras_resnet.analysis import memory
from tests.support import helpers
from train.recipes import plan
from train.run import devices
from train.run.memory import Need


def status(name: str) -> int:
    """A field of this process's status, in bytes."""
    found = re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())
    return 1024 * int(found[1])


def measure(
    network: str, batch: int, size: int, precision: str, changes: dict[str, Any]
) -> tuple[float, int]:
    """Returns the bound, and the peak of two steps above what the process had before, in bytes."""
    devices.configure(precision, False)
    values = {"network": network, "batch_size": batch, "image_size": size, "fields": {}}
    recipe = helpers.recipe(**values, **changes)
    before = status("VmRSS")
    model = keras_resnet.resnet(
        network, input_shape=(size, size, 3), classes=10, classifier_activation=None
    )
    update = plan.update(recipe, model)
    slots = [variable for group in update.variables.values() for variable in group]
    need = Need(
        memory.variable_bytes([*model.variables, *slots]),
        memory.variable_bytes(model.trainable_variables),
        memory.kept_bytes(model, (size, size, 3)),
        batch,
    )
    step = plan.train_step(recipe, tf.distribute.get_strategy(), model, update, plan.task(recipe))
    images = tf.random.stateless_normal([batch, size, size, 3], [0, 0])
    targets = tf.one_hot(tf.range(batch) % 10, 10)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is that of the steps
    for _ in range(2):
        step(images, targets, tf.ones(batch), tf.constant(0.1))
    return need.bytes(recipe.micro_batches), status("VmHWM") - before


if __name__ == "__main__":
    print(json.dumps(measure(*json.loads(sys.argv[1]))))
