"""Training steps of ResNet-50, in turns on one core: `python -m benchmarks.train_step`.

TensorFlow uses oneDNN, as it does by itself on processors with AVX512-VNNI or AMX. Torch takes part
if it and torchvision are installed, and bfloat16 if the processor has it.
"""

import os
import sys
from collections.abc import Callable
from functools import partial
from types import ModuleType

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # read while TensorFlow is imported

import keras
import numpy as np
import tensorflow as tf

import keras_resnet
from benchmarks import measure

Step = Callable[[], object]
BATCH = 16
SIZE = 224
CLASSES = 1000
REFERENCE = "keras.applications float32"
NOTES = (
    "`keras.applications` has v1, which is 6 % cheaper than the v1.5 of the others.",
    "TensorFlow with `TF_ENABLE_ONEDNN_OPTS=1`, its default on processors with AVX512-VNNI or AMX.",
)
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
    half = [True] if measure.bfloat16() else []
    steps: dict[str, Step] = {}
    for bfloat16 in (False, *half):
        dtype = "bfloat16" if bfloat16 else "float32"
        policy = "mixed_bfloat16" if bfloat16 else "float32"
        steps[f"keras_resnet {dtype}"] = keras_step(ours, policy)
        steps[f"keras.applications {dtype}"] = keras_step(stock, policy)
        try:
            steps[f"torchvision {dtype}"] = torch_step(bfloat16)
        except ImportError as error:
            print(f"without Torch: {error}", file=sys.stderr)
    return steps


def main(rounds: int = 5) -> None:
    measure.pin()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    rates = measure.rates(measure.alternate(contestants(), rounds), BATCH)
    command = "python -m benchmarks.train_step"
    unit = f"ResNet-50 images per CPU second, in steps of {BATCH}"
    measure.Table("train_step", command, unit, REFERENCE, rates, NOTES).write()


if __name__ == "__main__":
    main()
