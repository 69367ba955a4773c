"""Statistics of batch normalization: precise, synchronized and averaged, against numpy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support.on_replicas import OnReplicas, counts
from tests.support.statistics_on_replicas import (
    COUNT,
    FROZEN,
    MOMENTUM,
    Arrays,
    averaged,
    precise,
    prepared,
    statistics_of,
)
from tests.support.steps_reference import ONE, RECIPE, batches, network, reference, saved, share
from train.optimize import statistics


def convolution(images: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """3x3, with zeros around, as [batch, height, width, channels]."""
    padded = np.pad(images.astype("float64"), ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
    return np.einsum("bhwcij,ijco->bhwo", windows, kernel)


def inputs(model: keras.Model, parts: list[np.ndarray]) -> list[Arrays]:
    """What comes to each normalization that learns, from each part of a batch of training."""
    norms = [x for x in model.layers if x.name.endswith("_bn") and x.trainable]
    before = keras.Model(model.input, [layer.input for layer in norms])
    outputs = [before(images, training=True) for images in parts]
    return [[np.asarray(x, "float64") for x in each] for each in zip(*outputs, strict=True)]


def moments(activations: Arrays) -> Arrays:
    together = np.concatenate([x.reshape(-1, x.shape[-1]) for x in activations])
    return [together.mean(0), together.var(0)]


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> OnReplicas:
    return OnReplicas("statistics", tmp_path_factory.mktemp("statistics"))


def check_precise(found: dict[str, np.ndarray], parts: int) -> None:
    model = prepared()
    before = statistics_of(prepared())
    images = [x for batch, *_ in batches(COUNT) for x in np.split(batch, parts)]
    stem = convolution(np.concatenate(images), model.get_layer("stem_conv1").kernel.numpy())
    for name, value in zip(("mean", "variance"), moments([stem]), strict=True):
        np.testing.assert_allclose(found[f"stem_conv1_bn/moving_{name}"], value, atol=1e-5)
    expected = [m for each in inputs(model, images) for m in moments(each)]
    learning = [path for path in found if not path.startswith(FROZEN)]
    assert 0 < len(learning) < len(found)
    for path, value in zip(learning, expected, strict=True):
        np.testing.assert_allclose(found[path], value, rtol=1e-4, atol=1e-5, err_msg=path)
    for path in found.keys() - set(learning):
        np.testing.assert_array_equal(found[path], before[path])


def test_precise_statistics_are_those_of_all_batches_together() -> None:
    check_precise(precise(ONE)[0], 1)


def test_precise_statistics_are_those_of_what_all_replicas_saw(results) -> None:
    """Each normalizes its share by itself, in training as here; the moments are of all shares."""
    paths = statistics_of(prepared())
    for replica in range(2):
        check_precise(
            dict(zip(paths, saved(results(2) / f"precise_{replica}.npz"), strict=True)), 2
        )


def test_layers_remember_as_before_after_an_error() -> None:
    model = prepared()

    def broken():
        yield share(ONE, batches(1)[0])
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        statistics.precise(ONE, model, tf.identity, broken(), COUNT)
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert {layer.momentum for layer in norms} == {MOMENTUM}


def errors(found: Arrays, expected: Arrays) -> list[float]:
    """The largest difference in each, relative to its largest number."""
    return [
        float(np.abs(f - e).max() / np.abs(e).max()) for f, e in zip(found, expected, strict=True)
    ]


@counts
def test_synchronized_replicas_are_one_device(results, count) -> None:
    """Statistics included, on each replica; no replica's own 4 or 2 images would do."""
    model = network()
    reference([model], RECIPE)
    for replica in range(count):
        found = errors(saved(results(count) / f"together_{replica}.npz"), model.get_weights())
        assert max(found) < 1e-5
    assert max(errors(saved(results(2) / "apart_0.npz"), model.get_weights())) > 0.01


def test_synchronization_is_of_the_layers_that_learn_and_can_be_ended() -> None:
    model = prepared()
    statistics.synchronize(model, True)
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert {x.name.startswith(FROZEN) for x in norms if not x.synchronized} == {True}
    assert len(statistics.layers(model)) == sum(x.synchronized for x in norms) > 0
    statistics.synchronize(model, False)
    assert not any(x.synchronized for x in norms)


@counts
def test_replicas_get_the_mean_of_their_values(results, count) -> None:
    mean = np.mean(2.0 ** np.arange(count))
    for replica in range(count):
        vector, scalar = saved(results(count) / f"averaged_{replica}.npz")
        np.testing.assert_array_equal(vector, np.full(3, mean))
        np.testing.assert_array_equal(scalar, mean)


def test_one_device_keeps_its_values() -> None:
    vector, scalar = averaged(ONE)[0]
    assert vector.tolist() == [1, 1, 1]
    assert scalar == 1
