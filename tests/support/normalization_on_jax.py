"""Normalizes on JAX and saves what came out: `FOLDER` is the argument."""

import sys

import jax
import jax.numpy as jnp
import keras
import numpy as np

from keras_resnet import FusedBatchNormalization

SHAPES = {"three": (4, 5, 6, 3), "far": (4, 5, 6, 3), "pixel": (1, 1, 1, 3), "many": (8, 64, 64, 3)}
MEANS = {"far": 1e4}
MODES = {"train": True, "infer": False}


def images(name: str) -> np.ndarray:
    random = np.random.default_rng(0)
    return random.normal(MEANS.get(name, 3), 2, SHAPES[name]).astype(np.float32)


def learn(kind: type, x: np.ndarray, dtype: str, **arguments) -> dict:
    """Returns outputs, gradients, new moving averages, and the bytes that a step accesses."""
    policy = dtype if dtype == "float32" else f"mixed_{dtype}"
    layer = kind(momentum=0.9, epsilon=1e-5, dtype=policy, **arguments)
    layer.build(x.shape)
    random = np.random.default_rng(1)
    layer.set_weights([random.uniform(0.5, 1.5, w.shape) for w in layer.weights])
    rest = [v.value for v in layer.non_trainable_variables]

    def loss(trainable, x, training):
        y, moved = layer.stateless_call(trainable, rest, x, training=training)
        return jnp.sin(y.astype(jnp.float32)).sum(), (y, moved)

    step = jax.jit(jax.grad(loss, (0, 1), has_aux=True), static_argnums=2)
    trainable, found = [v.value for v in layer.trainable_variables], {}
    for mode, training in MODES.items():
        arguments = trainable, jnp.asarray(x, dtype), training
        gradients, outputs = step(*arguments)
        for i, value in enumerate(jax.tree.leaves((outputs, gradients))):
            found[f"{mode} {i}"] = np.asarray(value, np.float64)
    cost = step.lower(trainable, jnp.asarray(x, dtype), True).compile().cost_analysis()
    return found | {"bytes": np.float64(cost["bytes accessed"])}


def main(folder: str) -> None:
    for kind in (FusedBatchNormalization, keras.layers.BatchNormalization):
        for name in SHAPES:
            for dtype in ("float32", "bfloat16"):
                values = learn(kind, images(name), dtype)
                np.savez(f"{folder}/{kind.__name__} {name} {dtype}.npz", **values)
    one, other = (
        learn(k, images("three"), "float32", trainable=False)
        for k in (FusedBatchNormalization, keras.layers.BatchNormalization)
    )
    np.testing.assert_equal(one, other)


if __name__ == "__main__":
    assert "tensorflow" not in sys.modules
    main(sys.argv[1])
