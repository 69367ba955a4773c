"""Where the time of a training step goes: `python -m benchmarks.profile NETWORK [POLICY]`.

NETWORK is resnet50 or resnet20, as in `benchmarks.train_step`; POLICY is a dtype policy of Keras. A
step runs alone on one core, under the profiler of TensorFlow. The rate of convolutions is compared
with that of the fastest of several matrix products in the same dtype.
"""

import re
import sys
import tempfile
import time
from pathlib import Path

import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from benchmarks import measure
from benchmarks.train_step import Step, keras_step, subjects
from keras_resnet.analysis.cost import cost
from train.run import machine

WARM_UP, STEPS = 3, 10
SIDES = (1024, 2048, 4096)  # of the matrices
CONVOLUTION = "_MklNativeConv2D"
KINDS = {
    CONVOLUTION: "convolutions",
    f"{CONVOLUTION}BackpropInput": "gradients of their inputs",
    f"{CONVOLUTION}BackpropFilter": "gradients of their kernels",
    "_MklNativeFusedBatchNormV3": "normalization",
    "_MklNativeFusedBatchNormEx": "normalization",
    "_MklNativeFusedBatchNormGradV3": "gradients of normalization",
    "Relu": "ReLU",
    "ReluGrad": "gradients of ReLU",
    "AddN": "sums",
    "AddV2": "sums",
    "Cast": "casts",
}


def recorded(step: Step) -> tuple[dict[str, float], float]:
    """Returns the milliseconds that each kind of operation takes of a step, and those of a step."""
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        start = time.process_time()
        for _ in range(STEPS):
            step()
        whole = 1000 * (time.process_time() - start) / STEPS
        tf.profiler.experimental.stop()
        (file,) = Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(file.read_bytes())
    taken: dict[str, float] = dict.fromkeys(KINDS, 0.0)
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                # Operations are "name:kind"; what surrounds them has other names.
                name = plane.event_metadata[event.metadata_id].name
                found = re.search(r"[^:]:(\w+)$", name)
                if found and found[1] in taken:
                    taken[found[1]] += event.duration_ps / 1e9 / STEPS
    return taken, whole


def peak(dtype: str) -> float:
    """Returns the operations per second of the fastest matrix product; a multiply-add is two."""
    rates = []
    for side in SIDES:
        matrix = tf.cast(tf.random.normal([side, side]), dtype)
        for _ in range(3):
            start = time.process_time()
            tf.linalg.matmul(matrix, matrix)
            rates.append(2 * side**3 / (time.process_time() - start))
    return max(rates)


def rows(
    taken: dict[str, float], whole: float, operations: float, best: float
) -> tuple[tuple[str, ...], ...]:
    """Returns the rows of the table.

    Args:
        taken: as `recorded` returns it.
        whole: as `recorded` returns it.
        operations: of the convolutions of a forward pass.
        best: operations per second of a matrix product.
    """
    named = dict.fromkeys(KINDS.values(), 0.0)
    for kind, title in KINDS.items():
        named[title] += taken[kind]
    named["all else"] = whole - sum(named.values())
    table = []
    for title, spent in named.items():
        convolves = title in (KINDS[kind] for kind in KINDS if kind.startswith(CONVOLUTION))
        rate = f"{100 * operations / best / (spent / 1000):.0f} %" if convolves else ""
        table.append((title, f"{spent:.1f}", f"{100 * spent / whole:.1f} %", rate))
    return tuple(table)


def main(name: str, policy: str = "float32") -> None:
    measure.pin()
    machine.keep_freed_memory()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    subject = subjects()[name]
    step = keras_step(subject, subject.ours, policy)
    for _ in range(WARM_UP):
        step()
    taken, whole = recorded(step)
    operations = 2 * cost(subject.ours()).multiply_adds * subject.batch
    best = peak(policy.removeprefix("mixed_"))
    told = f"{subject.batch} images; the step takes {whole:,.0f} ms"
    measure.Columns(
        f"profile_{name}_{policy}",
        f"python -m benchmarks.profile {name} {policy}",
        (f"step of {subject.title}, {policy}", "ms", "share", "of the rate of a product"),
        rows(taken, whole, operations, best),
        (f"{told}; matrix products reach {best / 1e9:.0f} GFLOP/s.",),
    ).write()


if __name__ == "__main__":
    main(*sys.argv[1:3])
