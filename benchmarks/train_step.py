"""Training steps of ResNet-50, side by side on one core: `python -m benchmarks.train_step`.

One process, pinned to one core; the contestants take turns, A B C A B C, and the CPU time of each
round is measured. Torch takes part if it and torchvision are installed.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from types import ModuleType

import keras
import numpy as np
import tensorflow as tf

import keras_resnet

Step = Callable[[], object]
BATCH = 16
SIZE = 224
CLASSES = 1000
IMAGES = np.random.default_rng(0).normal(size=(BATCH, SIZE, SIZE, 3)).astype(np.float32)
LABELS = np.arange(BATCH) % CLASSES


def keras_step(build: Callable[[], keras.Model], policy: str) -> Step:
    keras.config.set_dtype_policy(policy)
    model = build()
    keras.config.set_dtype_policy("float32")
    optimizer = keras.optimizers.SGD(0.1, 0.9)
    optimizer.build(model.trainable_variables)
    images = tf.constant(IMAGES)
    labels = tf.constant(LABELS)

    @tf.function
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = tf.cast(model(images, training=True), tf.float32)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    return step


def torch_step(bfloat16: bool) -> Step:
    import torch

    # Torchvision registers shapes for C++ operators that a CPU-only install may lack.
    sys.modules.setdefault("torchvision._meta_registrations", ModuleType("absent"))
    from torchvision.models import resnet

    torch.set_num_threads(1)
    model = resnet.resnet50().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, 0.9)
    images = torch.tensor(IMAGES).permute(0, 3, 1, 2).to(memory_format=torch.channels_last)
    labels = torch.tensor(LABELS)

    def step() -> object:
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss = torch.nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        return optimizer.step()

    return step


def contestants() -> dict[str, Step]:
    ours = partial(keras_resnet.ResNet50V1_5, classifier_activation=None)
    # Keras's v1 strides on the 1x1 and is 6 % cheaper; ours strides on the 3x3, as Torch's does.
    stock = partial(keras.applications.ResNet50, weights=None, classifier_activation=None)
    steps = {
        "keras_resnet float32": keras_step(ours, "float32"),
        "keras_resnet bfloat16": keras_step(ours, "mixed_bfloat16"),
        "keras.applications float32": keras_step(stock, "float32"),
        "keras.applications bfloat16": keras_step(stock, "mixed_bfloat16"),
    }
    try:
        steps["torchvision float32"] = torch_step(bfloat16=False)
        steps["torchvision bfloat16"] = torch_step(bfloat16=True)
    except ImportError as error:
        print(f"without Torch: {error}", file=sys.stderr)
    return steps


def main(rounds: int = 5) -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    steps = contestants()
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()
    for _ in range(rounds):
        for name, step in steps.items():
            start = time.process_time()
            step()
            seconds[name].append(time.process_time() - start)
    first = statistics.median(seconds["keras.applications float32"])
    print("| ResNet-50 | images per CPU second | times keras.applications float32 |\n|---|---|---|")
    for name, times in seconds.items():
        median = statistics.median(times)
        print(f"| {name} | {BATCH / median:.2f} | {first / median:.2f} |")


if __name__ == "__main__":
    main()
