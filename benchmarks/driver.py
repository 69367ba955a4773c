"""A whole training beside its own step: `python -m benchmarks.driver DATA_DIR [PRECISION]`.

The recipe is that of ResNet-20 on CIFAR-10, which DATA_DIR holds as TensorFlow Datasets writes it.
Each run is a fresh process on one core. What counts is the CPU time of a long run less that of a
short one, so neither import and tracing nor the evaluation at the end do.
"""

import sys
import tempfile
from functools import partial
from pathlib import Path

import tensorflow as tf

from benchmarks import measure, start
from train import recipes
from train.recipes import plan
from train.recipes.data import open_data
from train.run import devices, machine, state

RECIPE = "cifar10_resnet20"
SHORT, LONG = 50, 350  # steps
ROUNDS = 3
WHOLE = "python -m train"
OWN = "its step alone, on one batch"


def own_step(data_dir: str, precision: str, count: int) -> None:
    """Takes steps of the recipe on its first batch."""
    machine.keep_freed_memory()
    devices.configure(precision, False)
    strategy = devices.strategy("one", 1)
    data = open_data(recipes.find(RECIPE), data_dir)
    with tempfile.TemporaryDirectory() as folder:
        begun = state.create(data, strategy, Path(folder))
    step = plan.train_step(data.recipe, strategy, begun.model, begun.update, begun.task)
    batches = plan.train_batches(data.splits["train"], data.recipe, data.preprocessing, 0)
    images, targets, weights = next(iter(batches))
    for _ in range(count):
        step(images, targets, weights, tf.constant(0.1))


def whole(data_dir: str, precision: str, count: int) -> list[str]:
    """Returns the arguments of a training of so many steps."""
    flags = {"data_dir": data_dir, "precision": precision, "steps": count, "device": "cpu"}
    return ["-m", "train", f"--recipe={RECIPE}", *(f"--{k}={v}" for k, v in flags.items())]


def seconds_of(contestant: str, data_dir: str, precision: str, count: int) -> float:
    """Returns the CPU seconds of one run."""
    if contestant == OWN:
        call = f"own_step({data_dir!r}, {precision!r}, {count})"
        return start.run("-c", f"from benchmarks import driver; driver.{call}")[0]
    with tempfile.TemporaryDirectory() as folder:
        return start.run(*whole(data_dir, precision, count), f"--workdir={folder}/run")[0]


def main(data_dir: str, precision: str = "float32") -> None:
    measure.pin()
    seconds: dict[str, list[float]] = {WHOLE: [], OWN: []}
    for _ in range(ROUNDS):
        for name, own in seconds.items():
            used = partial(seconds_of, name, data_dir, precision)
            own.append(used(LONG) - used(SHORT))
    images = (LONG - SHORT) * recipes.find(RECIPE).batch_size
    measure.Table(
        f"driver_{precision}",
        f"python -m benchmarks.driver DATA_DIR {precision}",
        f"ResNet-20 images per CPU second, {precision}",
        OWN,
        measure.rates(seconds, images),
    ).write()


if __name__ == "__main__":
    main(*sys.argv[1:3])
