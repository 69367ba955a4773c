"""What all contestants share: the network and the batch, and the form of a compiled contestant."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

__all__ = [
    "DECAY",
    "LEARNING_RATE",
    "MOMENTUM",
    "Data",
    "Layers",
    "Program",
    "Setting",
    "data",
]

LEARNING_RATE = 0.01
MOMENTUM = 0.9
DECAY = 1e-4  # times the weight, added to its gradient

Layers = dict[str, list[np.ndarray]]  # the weights of each layer, by its name in the library


class Setting(NamedTuple):
    """What is measured: one batch of one network, in one dtype."""

    repeats: tuple[int, ...]  # blocks per stage; (3, 4, 6, 3) is ResNet-50
    batch: int
    size: int  # height and width of the images
    classes: int
    dtype: str  # of activations: bfloat16 or float32; weights and moments are float32
    steps: int  # per round


class Program(NamedTuple):
    """A contestant that is compiled and warm.

    Attributes:
        call: starts `steps` steps; returns before the device has finished.
        wait: until all steps have ended; returns the last loss, or the mean of the logits.
        steps: per call.
        facts: what was found out while it was compiled, as it goes into the results.
    """

    call: Callable[[], Any]
    wait: Callable[[], float]
    steps: int
    facts: dict[str, Any]


class Data(NamedTuple):
    """One batch, which every step uses again, so that no contestant waits for data."""

    images: np.ndarray  # [batch, height, width, 3], float32
    labels: np.ndarray  # [batch], int32


def data(setting: Setting) -> Data:
    """Returns normally distributed images; with other values the chip draws other power."""
    random = np.random.default_rng(0)
    shape = (setting.batch, setting.size, setting.size, 3)
    images = random.standard_normal(shape, np.float32)
    return Data(images, np.arange(setting.batch, dtype=np.int32) % setting.classes)
