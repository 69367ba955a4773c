"""The images of CIFAR-10 as arrays."""

from pathlib import Path

import numpy as np


def read(data_dir: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns images, uint8 [count, 32, 32, 3], and labels, in the order of their keys."""
    import tensorflow_datasets as tfds

    data = tfds.load("cifar10", split=split, data_dir=data_dir / "tfds", batch_size=-1)
    order = np.argsort(data["id"].numpy())
    return data["image"].numpy()[order], data["label"].numpy()[order]
