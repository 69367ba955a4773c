"""The devices of a run: strategy, precision, determinism."""

import keras
import tensorflow as tf

STRATEGIES = ("one", "mirrored")
PRECISIONS = ("float32", "bfloat16")


def strategy(name: str, replicas: int | None, batch_size: int) -> tf.distribute.Strategy:
    """Returns one device, or as many mirrored replicas; without GPUs, on parts of the CPU.

    Has to be called before TensorFlow uses a device.

    Raises:
        ValueError: if there are fewer GPUs than replicas, or they cannot share a (micro-)batch
            evenly.
    """
    if name == "one":
        if replicas not in (None, 1):
            raise ValueError(f"replicas={replicas} needs strategy=mirrored")
        return tf.distribute.get_strategy()
    gpus = len(tf.config.list_physical_devices("GPU"))
    count = replicas or gpus or 1
    if batch_size % count:
        raise ValueError(
            f"a batch, or micro-batch, must be a multiple of the {count} replicas, got {batch_size}"
        )
    if gpus:
        if count > gpus:
            raise ValueError(f"replicas must be at most the {gpus} GPUs here, got {count}")
        return tf.distribute.MirroredStrategy([f"GPU:{i}" for i in range(count)])
    cpu = tf.config.list_physical_devices("CPU")[0]
    parts = [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
    tf.config.set_logical_device_configuration(cpu, parts)
    return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(count)])


def configure(precision: str, deterministic: bool) -> None:
    """Sets the dtype policy of all layers to come, and whether kernels may reorder sums."""
    keras.config.set_dtype_policy("float32" if precision == "float32" else f"mixed_{precision}")
    if deterministic:
        tf.config.experimental.enable_op_determinism()
