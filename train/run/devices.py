"""The devices of a run: strategy, workers, precision, determinism, memory."""

import json
import os
import re
import resource
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

STRATEGIES = ("one", "mirrored", "multi_worker", "tpu")
KINDS = ("gpu", "cpu")
PRECISIONS = ("float32", "bfloat16", "float16")

# What a worker hears when another one is gone.
LOST = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.UnavailableError,
)


def strategy(name: str, replicas: int | None, batch_size: int) -> tf.distribute.Strategy:
    """Returns one device, or several that share each (micro-)batch evenly.

    Mirrored replicas are on the GPUs of this machine, or, without any, on as many parts of its CPU
    as `replicas` says; those of several workers on all of their GPUs, or a CPU each. Has to be
    called before TensorFlow uses a device. "tpu" is untested: it has never run on a TPU.

    Raises:
        ValueError: if there are fewer devices than replicas, if nothing says how many replicas, if
            they cannot share a batch, or if TF_CONFIG does not say who the workers are.
    """
    if name != "mirrored" and replicas not in (None, 1):
        raise ValueError(f"replicas={replicas} needs strategy=mirrored")
    found = {
        "one": tf.distribute.get_strategy,
        "mirrored": lambda: _mirrored(replicas, batch_size),
        "multi_worker": lambda: _multi_worker(batch_size),
        "tpu": _tpu,
    }[name]()
    _check_share(batch_size, found.num_replicas_in_sync)
    return found


def _check_share(batch_size: int, count: int) -> None:
    if batch_size % count:
        raise ValueError(
            f"a batch, or micro-batch, must be a multiple of the {count} replicas, got {batch_size}"
        )


def _mirrored(replicas: int | None, batch_size: int) -> tf.distribute.Strategy:
    count = replicas or gpus()
    if not count:
        raise ValueError(
            "strategy=mirrored finds no GPU: give --replicas=N to train on N parts of the CPU"
        )
    _check_share(batch_size, count)
    if gpus():
        if count > gpus():
            raise ValueError(f"replicas must be at most the {gpus()} GPUs here, got {count}")
        return tf.distribute.MirroredStrategy([f"GPU:{i}" for i in range(count)])
    cpu = tf.config.list_physical_devices("CPU")[0]
    parts = [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
    tf.config.set_logical_device_configuration(cpu, parts)
    return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(count)])


def gpus() -> int:
    """Returns how many GPUs TensorFlow sees, and `choose` has not hidden."""
    return len(tf.config.get_visible_devices("GPU"))


def choose(kind: str | None, machine: Path = Path("/")) -> None:
    """Leaves TensorFlow the devices of a kind, before it uses any; by default GPUs, if any.

    Args:
        kind: "gpu", "cpu", or None.
        machine: the root of the file system.

    Raises:
        ValueError: if there is no GPU for kind="gpu"; and by default, if there are GPUs that
            TensorFlow cannot use, since a CPU would be a hundred times slower.
    """
    if kind == "cpu":
        tf.config.set_visible_devices([], "GPU")
    elif not gpus():
        told = _unused(machine)
        if told or kind == "gpu":
            raise ValueError(
                f"TensorFlow finds no GPU{told and f', but {told}'}: install a driver and"
                " 'tensorflow[and-cuda]', or give --device=cpu"
            )


def _unused(machine: Path) -> str:
    """Returns what says that this process should have GPUs of NVIDIA, or "" if nothing does."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:  # CUDA ends the list at the first entry that is not a device
        device = re.match(r"\s*(\d|GPU-|MIG-)", named)
        return f"CUDA_VISIBLE_DEVICES={named!r} names some" if device else ""
    nodes = sorted((machine / "dev").glob("nvidia[0-9]*"))
    return f"{nodes[0]} is one" if nodes else ""


def _multi_worker(batch_size: int) -> tf.distribute.Strategy:
    workers = len(_cluster())
    _check_share(batch_size, workers)  # before waiting for the others
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:  # such as of a port that is taken
        raise ValueError(
            f"strategy=multi_worker cannot listen where TF_CONFIG says: {error.message}"
        ) from error


def _cluster() -> list[str]:
    """Returns the addresses of the workers that TF_CONFIG lists.

    Raises:
        ValueError: if it does not list them, or not this one.
    """
    text = os.environ.get("TF_CONFIG", "")
    example = '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'
    try:
        config = json.loads(text)
        workers, task = config["cluster"]["worker"], config["task"]
        known = task["type"] == "worker" and 0 <= int(task["index"]) < len(workers)
        known &= all(re.fullmatch(r".+:\d+", str(worker)) for worker in workers)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"strategy=multi_worker needs TF_CONFIG such as {example}, got {text!r}"
        ) from error
    if not known or set(config["cluster"]) != {"worker"}:
        raise ValueError(
            "TF_CONFIG must list workers only, each as host:port, and this one by index, got"
            f" {text!r}"
        )
    return list(workers)


def _tpu() -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver()
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, tf.errors.OpError) as error:
        raise ValueError(f"strategy=tpu finds no TPU: {error}") from error
    return tf.distribute.TPUStrategy(resolver)


def workers(strategy: tf.distribute.Strategy) -> tuple[int, int]:
    """Returns which worker this process is, and how many there are; worker 0 alone writes."""
    resolver = strategy.cluster_resolver
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return 0, 1
    return resolver.task_id, resolver.cluster_spec().num_tasks("worker")


def agreement(strategy: tf.distribute.Strategy) -> Callable[[bool], bool]:
    """Returns what tells each worker whether any of them says yes; all have to ask together."""
    if workers(strategy)[1] == 1:
        return bool

    @tf.function
    def total(flag: tf.Tensor) -> tf.Tensor:
        return strategy.reduce("SUM", strategy.run(lambda x: x, (flag,)), axis=None)

    return lambda flag: float(total(tf.constant(float(flag)))) > 0


def share(strategy: tf.distribute.Strategy, variables: Sequence[keras.Variable]) -> None:
    """Gives all workers what worker 0 has in these variables, bit for bit."""
    if workers(strategy)[1] == 1:
        return

    def replica() -> None:
        context = tf.distribute.get_replica_context()
        first = tf.equal(context.replica_id_in_sync_group, 0)
        # One dtype for all of them, which holds float32, and counts up to 2**53, exactly.
        values: Any = [tf.cast(tf.convert_to_tensor(v), tf.float64) for v in variables]
        values = [tf.where(first, v, tf.zeros_like(v)) for v in values]
        for variable, value in zip(variables, context.all_reduce("SUM", values), strict=True):
            variable.assign(tf.cast(value, variable.dtype))

    tf.function(lambda: strategy.run(replica))()


def check_options(sync_bn: bool, micro_batches: int, *, jit_compile: bool) -> None:
    """Raises a ValueError for what no replica can do while it waits for the others."""
    if sync_bn and (jit_compile or micro_batches > 1):
        raise ValueError(
            "sync_bn waits for other replicas in the middle of the network, which neither"
            f" jit_compile={jit_compile} nor micro_batches={micro_batches} can"
        )


def configure(precision: str, deterministic: bool) -> None:
    """Sets the dtype policy of all layers to come, and whether kernels may reorder sums."""
    keras.config.set_dtype_policy("float32" if precision == "float32" else f"mixed_{precision}")
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def memory() -> float:
    """Returns the most memory that the run has used so far, in GiB: of GPU 0, or of the process."""
    if gpus():
        return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
