"""A CIFAR-10 network of Keras's own layers, as others built theirs: without this package."""

from collections.abc import Iterator, Mapping

import keras
import numpy as np


def blocks(n: int) -> Iterator[tuple[int, int, str]]:
    """Yields stage, block and name of the blocks of a network of 6n+2 layers."""
    for stage in (1, 2, 3):
        for block in range(1, n + 1):
            yield stage, block, f"stage{stage}_block{block}"


def stock(n: int) -> tuple[keras.Model, dict[str, list[str]]]:
    """ResNet v1 of 6n+2 layers in stock Keras, TensorFlow's padding, a bias in every convolution.

    As in Keras's own CIFAR-10 example and MLPerf Tiny's: projections without a BN, epsilon 1e-3.

    Returns:
        The model, and the names of its layers of each kind in the order of their creation.
    """
    order: dict[str, list[str]] = {"conv": [], "bn": [], "shortcut": [], "all": []}

    def conv(x, filters, kernel, stride, name, kind="conv"):
        order[kind].append(name)
        order["all"].append(name)
        return keras.layers.Conv2D(filters, kernel, stride, "same", name=name)(x)

    def norm(x, name):
        order["bn"].append(name)
        return keras.layers.BatchNormalization(name=name)(x)

    image = keras.Input((32, 32, 3))
    x = keras.ops.relu(norm(conv(image, 16, 3, 1, "c"), "n"))
    for stage, block, name in blocks(n):
        filters, stride = 8 * 2**stage, 2 if stage > 1 and block == 1 else 1
        y = keras.ops.relu(norm(conv(x, filters, 3, stride, f"{name}c1"), f"{name}n1"))
        y = norm(conv(y, filters, 3, 1, f"{name}c2"), f"{name}n2")
        if stride > 1:
            x = conv(x, filters, 1, stride, f"{name}s", "shortcut")
        x = keras.ops.relu(x + y)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, keras.layers.Dense(10, name="d")(x))
    random = np.random.default_rng(0)
    for weight in model.weights:
        low = 0.5 if weight.name in ("gamma", "moving_variance") else -0.2
        weight.assign(random.uniform(low, low + 0.4, weight.shape))
    return model, order


def stock_of(arrays: Mapping[str, np.ndarray], n: int) -> keras.Model:
    """Returns `stock(n)` with the weights of robinc94, whose names number each kind of layer."""
    model, order = stock(n)
    names = {"dense": "d"}
    for kind in ("conv", "bn", "shortcut"):
        names |= {f"{kind}{i}": layer for i, layer in enumerate(order[kind], 1)}
    for theirs, ours in names.items():
        for weight in model.get_layer(ours).weights:
            weight.assign(arrays[f"{theirs}/{weight.name}"])
    return model
