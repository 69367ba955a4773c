"""The devices of a run: strategy, workers, precision, determinism, memory."""

import json
import os
import re
import resource
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

Integers = np.ndarray[Any, np.dtype[np.int64]]


class WorkerLost(Exception):
    """Another worker was lost before the training began."""


# What is raised in a worker when another one is lost.
LOST = (
    WorkerLost,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.UnavailableError,
)


def count(name: str, replicas: int | None) -> int:
    """Returns how many replicas a strategy will have, before TensorFlow uses a device.

    Mirrored replicas are on the GPUs of this machine or, without GPUs, on as many parts of its CPU
    as `replicas` says. Those of several workers are on all of their GPUs, or on one CPU each.

    Args:
        name: one of `choices.STRATEGIES`.
        replicas: how many are asked for, if any number is.

    Raises:
        ValueError: if there are fewer devices than replicas, if nothing says how many replicas, or
            if TF_CONFIG does not say who the workers are.
    """
    if name != "mirrored" and replicas not in (None, 1):
        raise ValueError(f"replicas={replicas} needs strategy=mirrored")
    if name == "one":
        return 1
    if name == "multi_worker":
        return len(_cluster()) * max(1, gpus())
    if name == "tpu":
        return _tpu().num_replicas_in_sync
    if not replicas and not gpus():
        raise ValueError(
            "strategy=mirrored finds no GPU: give --replicas=N to train on N parts of the CPU"
        )
    if replicas and gpus() and replicas > gpus():
        raise ValueError(f"replicas must be at most the {gpus()} GPUs here, got {replicas}")
    return replicas or gpus()


def strategy(name: str, replicas: int) -> tf.distribute.Strategy:
    """Returns one device, or several that share each batch evenly.

    It has to be called before TensorFlow uses a device. "tpu" is untested: it has never run on a
    TPU.

    Args:
        name: one of `choices.STRATEGIES`.
        replicas: as `count` says.

    Raises:
        ValueError: if a worker cannot listen at its address, or has other devices than this one.
    """
    if name == "one":
        return tf.distribute.get_strategy()
    if name == "mirrored":
        return _mirrored(replicas)
    if name == "tpu":
        return _tpu()
    found = _multi_worker()
    if found.num_replicas_in_sync != replicas:
        raise ValueError(
            f"all workers need the same number of GPUs: {replicas} replicas would be as many per"
            f" worker as here, and there are {found.num_replicas_in_sync}"
        )
    return found


def _mirrored(replicas: int) -> tf.distribute.Strategy:
    if gpus():
        return tf.distribute.MirroredStrategy([f"GPU:{i}" for i in range(replicas)])
    cpu = tf.config.list_physical_devices("CPU")[0]
    parts = [tf.config.LogicalDeviceConfiguration() for _ in range(replicas)]
    tf.config.set_logical_device_configuration(cpu, parts)
    return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])


def gpus() -> int:
    """Returns how many GPUs TensorFlow sees that `choose` has not hidden."""
    return len(tf.config.get_visible_devices("GPU"))


def choose(kind: str | None, machine: Path = Path("/")) -> None:
    """Restricts TensorFlow to the devices of a kind, before it uses any; by default GPUs, if any.

    Args:
        kind: "gpu", "cpu", or None.
        machine: the root of the file system.

    Raises:
        ValueError: if there is no GPU for kind="gpu"; for None also if there are GPUs that
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
    """Returns what suggests that there are NVIDIA GPUs for this process, or "" if nothing does."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:  # CUDA ends the list at the first entry that is not a device
        device = re.match(r"\s*(\d|GPU-|MIG-)", named)
        return f"CUDA_VISIBLE_DEVICES={named!r} names some" if device else ""
    nodes = sorted((machine / "dev").glob("nvidia[0-9]*"))
    return f"{nodes[0]} is one" if nodes else ""


def _multi_worker() -> tf.distribute.Strategy:
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:  # such as a port that is in use
        raise ValueError(
            f"strategy=multi_worker cannot listen where TF_CONFIG says: {error.message}"
        ) from error


def _cluster() -> list[str]:
    """Returns the addresses of the workers that TF_CONFIG lists.

    Raises:
        ValueError: if it does not list them, or does not list this one.
    """
    text = os.environ.get("TF_CONFIG", "")
    example = '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'
    try:
        config = json.loads(text)
        workers = config["cluster"]["worker"]
        task = config["task"]
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


@cache
def _tpu() -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver()
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, tf.errors.OpError) as error:
        raise ValueError(f"strategy=tpu finds no TPU: {error}") from error
    return tf.distribute.TPUStrategy(resolver)


def worker(strategy: tf.distribute.Strategy) -> int:
    """Returns the number of this process among the workers, from 0."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return 0
    return strategy.cluster_resolver.task_id


def num_workers(strategy: tf.distribute.Strategy) -> int:
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return 1
    return strategy.cluster_resolver.cluster_spec().num_tasks("worker")


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is worker 0, the only one that writes and prints."""
    return worker(strategy) == 0


def agreement(strategy: tf.distribute.Strategy) -> Callable[[bool], bool]:
    """Returns a function that says whether any worker passes True; all have to call it together."""
    if num_workers(strategy) == 1:
        return bool

    @tf.function(autograph=False)
    def total(flag: tf.Tensor) -> tf.Tensor:
        return strategy.reduce("SUM", strategy.run(lambda x: x, (flag,)), axis=None)

    return lambda flag: float(total(tf.constant(float(flag)))) > 0


def total(strategy: tf.distribute.Strategy) -> Callable[[Integers], Integers]:
    """Returns a function that adds up the arrays, int64, of all workers.

    All have to call it together, with arrays of one shape.

    Raises:
        WorkerLost: by the function, if a worker was lost.
    """
    workers = num_workers(strategy)
    if workers == 1:
        return lambda values: values
    replicas = strategy.num_replicas_in_sync // workers  # each of which adds the same array

    @tf.function(autograph=False)
    def reduced(values: tf.Tensor) -> tf.Tensor:
        return strategy.reduce("SUM", strategy.run(lambda x: x, (values,)), axis=None)

    def of_all(values: Integers) -> Integers:
        try:
            return reduced(tf.constant(values)).numpy() // replicas
        except LOST as error:
            raise WorkerLost(str(error)) from error

    return of_all


def barrier(strategy: tf.distribute.Strategy) -> None:
    """Waits until all workers have called it."""
    agreement(strategy)(False)


def share(strategy: tf.distribute.Strategy, variables: Sequence[keras.Variable]) -> None:
    """Copies the values of worker 0 into these variables of all workers, bit for bit."""
    if num_workers(strategy) == 1:
        return

    def replica() -> None:
        context = tf.distribute.get_replica_context()
        first = tf.equal(context.replica_id_in_sync_group, 0)
        # One dtype for all of them, which holds float32, and counts up to 2**53, exactly.
        values: Any = [tf.cast(tf.convert_to_tensor(v), tf.float64) for v in variables]
        values = [tf.where(first, v, tf.zeros_like(v)) for v in values]
        for variable, value in zip(variables, context.all_reduce("SUM", values), strict=True):
            variable.assign(tf.cast(value, variable.dtype))

    tf.function(lambda: strategy.run(replica), autograph=False)()


def configure(precision: str, deterministic: bool) -> None:
    """Sets the dtype policy of all new layers, and whether kernels may reorder sums."""
    keras.config.set_dtype_policy("float32" if precision == "float32" else f"mixed_{precision}")
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def memory() -> float:
    """Returns the peak memory so far, in GiB: of GPU 0 or, without GPUs, of the process."""
    if gpus():
        return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
