"""The contestants on JAX: the library's networks, variants of them, and plain JAX."""

import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import keras
import numpy as np
from jax.profiler import ProfileData

import keras_resnet
from benchmarks.gpu import plain
from benchmarks.gpu.setting import (
    DECAY,
    LEARNING_RATE,
    MOMENTUM,
    Layers,
    Program,
    Setting,
    data,
)

__all__ = [
    "Network",
    "infer",
    "layers_of",
    "library",
    "matrix_rate",
    "memory_rate",
    "of_keras",
    "of_plain",
    "padded",
    "profile",
    "train",
]

FIRST = 3  # losses to compare
REPEATS = 10  # of a product or a copy, so that the start of a kernel does not count


class Network(NamedTuple):
    """A network as a function of its weights.

    Attributes:
        logits: maps (trainable, rest, images, training) to the logits and the new `rest`.
        trainable: weights that gradients are taken for.
        rest: moving averages.
        channels: of the images; those after the third are zero.
    """

    logits: Callable[[Any, Any, jax.Array, bool], tuple[jax.Array, Any]]
    trainable: Any
    rest: Any
    channels: int = 3


def library(setting: Setting, channels: int = 3) -> keras.Model:
    """Builds the library's ResNet v1.5 in the setting's dtype; it returns logits."""
    keras.utils.set_random_seed(0)
    half = setting.dtype != "float32"
    keras.config.set_dtype_policy(f"mixed_{setting.dtype}" if half else "float32")
    return keras_resnet.resnet(
        "resnet50_v1_5",
        repeats=list(setting.repeats),
        classes=setting.classes,
        classifier_activation=None,
        input_shape=(setting.size, setting.size, channels),
    )


def layers_of(model: keras.Model) -> Layers:
    """Returns the weights by layer, for contestants that are not Keras models."""
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


def padded(model: keras.Model, setting: Setting, channels: int) -> keras.Model:
    """Returns the same function of images to which channels of zeros were added."""
    wide = library(setting, channels)
    for target, source in zip(wide.weights, model.weights, strict=True):
        grown = [(0, a - b) for a, b in zip(target.shape, source.shape, strict=True)]
        target.assign(np.pad(np.asarray(source), grown))
    return wide


def of_keras(model: keras.Model) -> Network:
    def logits(trainable: Any, rest: Any, images: jax.Array, training: bool) -> tuple[Any, Any]:
        return model.stateless_call(trainable, rest, images, training=training)

    trainable = [v.value for v in model.trainable_variables]
    rest = [v.value for v in model.non_trainable_variables]
    return Network(logits, trainable, rest, model.inputs[0].shape[-1])


def of_plain(layers: Layers) -> Network:
    return Network(plain.logits, *plain.split(layers))


def train(network: Network, setting: Setting, scan: int = 1) -> Program:
    """Compiles a training step, or a loop over steps.

    The state is donated: new weights are written where the old ones were.

    Args:
        network: it is left unchanged.
        setting: the batch and the dtype.
        scan: steps per call, in one `lax.scan`.
    """
    images, labels = _on_device(setting, network.channels)
    zeros = jax.tree.map(jnp.zeros_like, network.trainable)
    # Copies: another contestant starts from the same weights, and donated ones are gone.
    state = jax.tree.map(jnp.copy, (network.trainable, network.rest, zeros))
    steps = jax.jit(partial(_steps, network.logits, scan), donate_argnums=0)
    compiled, facts = _compiled(steps, state, images, labels)
    kept: dict[str, Any] = {"state": state}
    first: list[float] = []

    def call() -> None:
        kept["state"], kept["losses"] = compiled(kept["state"], images, labels)

    def wait() -> float:
        return float(kept["losses"][-1])

    while len(first) < FIRST:
        call()
        first += [float(loss) for loss in kept["losses"]]
    return Program(call, wait, scan, {**facts, "first_losses": first[:FIRST]})


def infer(network: Network, setting: Setting) -> Program:
    """Compiles inference: images to logits."""
    images, _ = _on_device(setting, network.channels)

    def logits(trainable: Any, rest: Any, images: jax.Array) -> jax.Array:
        return network.logits(trainable, rest, images, False)[0]

    weights = network.trainable, network.rest
    compiled, facts = _compiled(jax.jit(logits), *weights, images)
    kept: dict[str, jax.Array] = {}

    def call() -> None:
        kept["logits"] = compiled(*weights, images)

    call()
    found = np.asarray(kept["logits"], np.float32)
    return Program(
        call,
        lambda: float(kept["logits"].mean()),
        1,
        {**facts, "first_logits": [float(x) for x in found[0, :FIRST]]},
    )


def matrix_rate(sizes: list[int], dtype: str) -> float:
    """Returns the highest rate of products of square matrices, in operations per second.

    A multiply-add counts as two operations. The values are random: zeros need less power, so that
    the chip runs faster than it can with real data.
    """
    best = 0.0
    for size in sizes:
        a = (jax.random.normal(jax.random.key(0), (size, size)) / size**0.5).astype(dtype)
        seconds = _seconds(partial(jax.jit(jnp.matmul), a), a)
        best = max(best, 2 * size**3 / seconds)
    return best


def memory_rate(megabytes: int) -> float:
    """Returns the rate at which an array is read and written, in bytes per second."""
    x = jnp.zeros((megabytes, 1 << 18), jnp.float32)
    return 2 * x.nbytes / _seconds(jax.jit(lambda x: x + 1), x)


def profile(program: Program, folder: Path, calls: int, top: int) -> dict[str, float]:
    """Traces some calls; returns the kernels that took longest, in milliseconds per step.

    The trace under `folder` can be opened with TensorBoard or Perfetto. On a CPU there are no
    kernels, and the result is empty.
    """
    with jax.profiler.trace(str(folder)):
        for _ in range(calls):
            program.call()
        program.wait()
    total: Counter[str] = Counter()
    for file in folder.rglob("*.xplane.pb"):
        planes = [x for x in ProfileData.from_file(str(file)).planes if "/device:GPU" in x.name]
        for line in (line for plane in planes for line in plane.lines if "Stream" in line.name):
            for event in line.events:
                total[event.name] += event.duration_ns
    steps = calls * program.steps
    return {name: round(ns / 1e6 / steps, 3) for name, ns in total.most_common(top)}


def _steps(
    logits: Callable[..., Any], scan: int, state: Any, images: jax.Array, labels: jax.Array
) -> tuple[Any, jax.Array]:
    """Makes steps of SGD with momentum; returns the new state, and the loss of each step."""

    def loss(trainable: Any, rest: Any) -> tuple[jax.Array, Any]:
        found, moved = logits(trainable, rest, images, True)
        chosen = jnp.take_along_axis(jax.nn.log_softmax(found), labels[:, None], 1)
        return -chosen.mean(), moved

    def step(state: Any, _: None) -> tuple[Any, jax.Array]:
        trainable, rest, velocity = state
        (value, rest), slopes = jax.value_and_grad(loss, has_aux=True)(trainable, rest)
        velocity = jax.tree.map(
            lambda v, g, w: MOMENTUM * v + g + DECAY * w, velocity, slopes, trainable
        )
        trainable = jax.tree.map(lambda w, v: w - LEARNING_RATE * v, trainable, velocity)
        return (trainable, rest, velocity), value

    if scan == 1:
        state, value = step(state, None)
        return state, value[None]
    return jax.lax.scan(step, state, length=scan)


def _on_device(setting: Setting, channels: int) -> tuple[jax.Array, jax.Array]:
    images, labels = data(setting)
    extra = [(0, 0)] * 3 + [(0, channels - images.shape[-1])]
    return jnp.asarray(np.pad(images, extra), setting.dtype), jnp.asarray(labels)


def _compiled(function: Any, *arguments: Any) -> tuple[Any, dict[str, Any]]:
    """Compiles, and asks the compiler what one step costs; a loop counts as one step."""
    start = time.perf_counter()
    compiled = function.lower(*arguments).compile()
    seconds = time.perf_counter() - start
    cost, memory = compiled.cost_analysis(), compiled.memory_analysis()
    size = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
    return compiled, {
        "compile_s": round(seconds, 1),
        "bytes": cost["bytes accessed"],
        "operations": cost["flops"],
        "memory_gb": round((size - memory.alias_size_in_bytes) / 1e9, 3),
    }


def _seconds(function: Callable[[jax.Array], jax.Array], x: jax.Array) -> float:
    """Returns the seconds of one of several calls, each with the result of the last."""
    x = function(x).block_until_ready()
    start = time.perf_counter()
    for _ in range(REPEATS):
        x = function(x)
    x.block_until_ready()
    return (time.perf_counter() - start) / REPEATS
