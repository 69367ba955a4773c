"""Training steps in turns on one core: `python -m benchmarks.train_step [resnet50 | resnet20]`.

TensorFlow uses oneDNN, as in the commands of training. Torch takes part if it and torchvision are
installed, and bfloat16 if the processor has it.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # read while TensorFlow is imported

import keras
import numpy as np
import tensorflow as tf

import keras_resnet
from benchmarks import measure
from benchmarks.stock import with_keras_normalization

ROUNDS = 7
Step = Callable[[], object]
Build = Callable[[], Any]


@dataclass(frozen=True)
class Subject:
    """A network that is trained, and how others build it.

    Attributes:
        table: name of the results.
        title: of the network, in the table.
        batch: images of a step.
        size: height and width of the images.
        classes: of the labels.
        ours: builds our model.
        keras: builds what Keras has, called by its name.
        torch: builds the module of Torch.
        notes: sentences under the table.
    """

    table: str
    title: str
    batch: int
    size: int
    classes: int
    ours: Build
    keras: tuple[str, Build]
    torch: Build
    notes: tuple[str, ...] = ()

    def images(self) -> np.ndarray[Any, Any]:
        shape = (self.batch, self.size, self.size, 3)
        return np.random.default_rng(0).normal(size=shape).astype(np.float32)

    def labels(self) -> np.ndarray[Any, Any]:
        return np.arange(self.batch) % self.classes


def torch_resnet() -> ModuleType:
    """Returns torchvision's module of ResNets."""
    # Torchvision registers shapes for C++ operators that a CPU-only install may lack.
    sys.modules.setdefault("torchvision._meta_registrations", ModuleType("absent"))
    from torchvision.models import resnet

    return resnet


def torch_resnet20() -> Any:
    """Returns ResNet-20 for CIFAR-10, of torchvision's blocks and shortcuts of option A."""
    from torch import nn

    class Shortcut(nn.Module):
        def forward(self, x: Any) -> Any:
            channels = x.shape[1] // 2
            return nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, channels, channels))

    block = torch_resnet().BasicBlock
    layers = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    for before, width in ((16, 16), (16, 32), (32, 64)):
        widens = width > before
        layers.append(block(before, width, 1 + widens, Shortcut() if widens else None))
        layers += [block(width, width) for _ in range(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def subjects() -> dict[str, Subject]:
    resnet50 = partial(keras_resnet.ResNet50V1_5, classifier_activation=None)
    # Keras's v1 strides on the 1x1 and is 6 % cheaper; ours strides on the 3x3, as Torch's does.
    stock = partial(keras.applications.ResNet50, weights=None, classifier_activation=None)
    resnet20 = partial(keras_resnet.ResNet20, classifier_activation=None)
    return {
        "resnet50": Subject(
            "train_step",
            "ResNet-50",
            16,
            224,
            1000,
            resnet50,
            ("keras.applications", stock),
            lambda: torch_resnet().resnet50(),
            ("`keras.applications` has v1, which is 6 % cheaper than the v1.5 of the others.",),
        ),
        "resnet20": Subject(
            "train_step_cifar",
            "ResNet-20",
            128,
            32,
            10,
            resnet20,
            (
                "keras_resnet with Keras's normalization",
                lambda: with_keras_normalization(resnet20()),
            ),
            torch_resnet20,
        ),
    }


def keras_step(subject: Subject, build: Build, policy: str) -> Step:
    keras.config.set_dtype_policy(policy)
    model = build()
    keras.config.set_dtype_policy("float32")
    optimizer = keras.optimizers.SGD(0.1, 0.9)
    optimizer.build(model.trainable_variables)
    images = tf.constant(subject.images())
    labels = tf.constant(subject.labels())

    @tf.function
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = tf.cast(model(images, training=True), tf.float32)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    return step


def torch_step(subject: Subject, bfloat16: bool) -> Step:
    import torch

    torch.set_num_threads(1)
    last = torch.channels_last
    model = subject.torch().to(memory_format=last)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, 0.9)
    images = torch.tensor(subject.images()).permute(0, 3, 1, 2).to(memory_format=last)
    labels = torch.tensor(subject.labels())

    def step() -> object:
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss = torch.nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        return optimizer.step()

    return step


def contestants(subject: Subject) -> dict[str, Step]:
    stock, build = subject.keras
    half = [True] if measure.bfloat16() else []
    steps: dict[str, Step] = {}
    for bfloat16 in (False, *half):
        dtype = "bfloat16" if bfloat16 else "float32"
        policy = "mixed_bfloat16" if bfloat16 else "float32"
        steps[f"keras_resnet {dtype}"] = keras_step(subject, subject.ours, policy)
        steps[f"{stock} {dtype}"] = keras_step(subject, build, policy)
        try:
            steps[f"torch {dtype}"] = torch_step(subject, bfloat16)
        except ImportError as error:
            print(f"without Torch: {error}", file=sys.stderr)
    return steps


def main(name: str = "resnet50") -> None:
    measure.pin()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    subject = subjects()[name]
    rates = measure.rates(measure.alternate(contestants(subject), ROUNDS), subject.batch)
    measure.Table(
        subject.table,
        f"python -m benchmarks.train_step {name}",
        f"{subject.title} images per CPU second, in steps of {subject.batch}",
        f"{subject.keras[0]} float32",
        rates,
        subject.notes,
    ).write()


if __name__ == "__main__":
    main(*sys.argv[1:2])
