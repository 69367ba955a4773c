"""Proves that an exported file computes what the network does."""

from typing import Any

import keras
import numpy as np

from keras_resnet.manifest import Manifest

Array = np.ndarray[Any, Any]
# Folding BN into convolutions rounds differently, layer after layer; float32 allows no less.
BOUND = 1e-4


def images(manifest: Manifest, count: int = 8) -> Array:
    """Returns float32 images of 0..255, [count, height, width, channels]: edges and noise."""
    random = np.random.default_rng(0)
    shape = (count, *manifest.image_shape)
    noise = random.uniform(0, 255, shape)
    blocks = random.uniform(0, 255, (count, 4, 4, shape[-1]))
    rows, columns = (np.arange(size) * 4 // size for size in shape[1:3])
    share = np.linspace(0, 1, count).reshape(-1, 1, 1, 1)
    return (share * noise + (1 - share) * blocks[:, rows][:, :, columns]).astype(np.float32)


def logits(model: keras.Model, manifest: Manifest, pixels: Array) -> Array:
    """Returns what the network itself computes, [batch, classes]."""
    outputs = model(manifest.preprocessing.normalize(pixels), training=False)
    return np.asarray(keras.ops.convert_to_numpy(outputs))


def compare(name: str, exported: Array, expected: Array) -> float:
    """Returns the largest difference, relative to the largest logit.

    Raises:
        ValueError: if it is above `BOUND`, or a number is not finite.
    """
    error = float(np.max(np.abs(exported - expected)) / np.max(np.abs(expected)))
    if not error <= BOUND:
        raise ValueError(f"{name} differs from the network by {error:.1e} of the largest logit;"
                         f" {BOUND:.0e} is allowed")  # fmt: skip
    return error
