"""The contestants of the benchmark of training steps are the same networks."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

import keras_resnet
from benchmarks import profile, train_step
from benchmarks.stock import with_keras_normalization


def test_torchs_resnet20_is_that_of_the_paper():
    network = train_step.torch_resnet20()
    ours = keras_resnet.ResNet20()
    assert sum(p.numel() for p in network.parameters()) == 269_722
    assert sum(np.prod(v.shape) for v in ours.trainable_variables) == 269_722
    shapes = []
    for layer in network[3:12]:
        layer.register_forward_hook(lambda _layer, _x, y: shapes.append(tuple(y.shape[1:])))
    assert network(torch.zeros([2, 3, 32, 32])).shape == (2, 10)
    assert shapes == 3 * [(16, 32, 32)] + 3 * [(32, 16, 16)] + 3 * [(64, 8, 8)]


def test_the_network_with_keras_normalization_is_the_same_function():
    ours = keras_resnet.ResNet8()
    twin = with_keras_normalization(ours)
    kinds = {type(layer) for layer in twin.layers if "norm" in type(layer).__name__.lower()}
    assert kinds == {keras.layers.BatchNormalization}
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    np.testing.assert_allclose(twin(images), ours(images), atol=1e-6)


def test_the_profile_finds_the_operations_of_a_step():
    image = tf.ones([8, 32, 32, 16])
    kernel = tf.ones([3, 3, 16, 16])

    @tf.function
    def step() -> tf.Tensor:
        return tf.reduce_sum(tf.nn.relu(tf.nn.conv2d(image + kernel[0, 0, 0], kernel, 1, "SAME")))

    step()
    taken, whole = profile.recorded(step)
    assert 0 < taken["AddV2"] < whole
    assert taken["Cast"] == 0
    convolutions = dict.fromkeys(list(profile.KINDS)[:3], 2.0)
    rows = profile.rows({**taken, "AddV2": 1.0, **convolutions}, 10.0, 4e6, 4e9)
    assert rows[0] == ("convolutions", "2.0", "20.0 %", "50 %")
    assert sum(float(row[1]) for row in rows) == pytest.approx(10, abs=0.5)
