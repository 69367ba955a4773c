"""Statistics of batch normalization: precise, synchronized and averaged, against numpy."""

from dataclasses import replace

import helpers
import keras
import numpy as np
import pytest
import tensorflow as tf
from test_steps import ONE, RATES, RECIPE, batches, network, reference, share

from keras_resnet import transfer
from train import devices, statistics, steps
from train.updates import Update

Arrays = list[np.ndarray]

FROZEN, COUNT, MOMENTUM = ("stage2",), 3, 0.7


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


def prepared() -> keras.Model:
    """A network with a frozen stage, whose normalizations forget at a pace of their own."""
    model = network()
    transfer.freeze(model, FROZEN)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = MOMENTUM
    return model


def statistics_of(model: keras.Model, strategy=ONE, replica: int = 0) -> dict[str, np.ndarray]:
    found = [w for w in model.weights if "moving" in w.path]
    return {
        w.path: np.asarray(strategy.experimental_local_results(w.value)[replica]) for w in found
    }


def precise(strategy: tf.distribute.Strategy) -> list[dict[str, np.ndarray]]:
    with strategy.scope():
        model = prepared()
    shared = (share(strategy, batch) for batch in batches(COUNT + 1))
    statistics.precise(strategy, model, shared, COUNT)
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert {layer.momentum for layer in norms} == {MOMENTUM}
    count = strategy.num_replicas_in_sync
    return [statistics_of(model, strategy, replica) for replica in range(count)]


def synchronized(strategy: tf.distribute.Strategy, together: bool) -> list[Arrays]:
    """The weights of each replica after three steps of training."""
    recipe = replace(RECIPE, sync_bn=together)
    with strategy.scope():
        model = network()
        statistics.synchronize(model, together)
        update = Update(model, recipe)
    step = steps.train_step(strategy, model, update, recipe)
    for rate, batch in zip(RATES, batches(), strict=True):
        step(*share(strategy, batch), tf.constant(rate))
    each = [strategy.experimental_local_results(w.value) for w in model.weights]
    return [[np.asarray(v) for v in replica] for replica in zip(*each, strict=True)]


def averaged(strategy: tf.distribute.Strategy) -> list[Arrays]:
    """Two variables of which each replica has a value of its own, and then the mean of all."""
    with strategy.scope():
        variables = [keras.Variable(tf.zeros(shape), trainable=False) for shape in [(3,), ()]]

    def replica() -> None:
        own = tf.distribute.get_replica_context().replica_id_in_sync_group
        for variable in variables:
            variable.assign(tf.fill(variable.shape, 2.0 ** tf.cast(own, tf.float32)))

    tf.function(lambda: strategy.run(replica))()
    statistics.average(strategy, variables)()
    each = [strategy.experimental_local_results(v.value) for v in variables]
    return [[np.asarray(v) for v in row] for row in zip(*each, strict=True)]


def several_replicas(folder: str, count: int) -> None:
    """Runs in a process of its own, since devices are split before TensorFlow uses them."""
    strategy = devices.strategy("mirrored", count, RECIPE.batch_size)
    found = {"averaged": averaged(strategy), "together": synchronized(strategy, True)}
    if count == 2:
        found["apart"] = synchronized(strategy, False)
        found["precise"] = [list(row.values()) for row in precise(strategy)]
    for name, replicas in found.items():
        for replica, values in enumerate(replicas):
            np.savez(f"{folder}/{name}{count}_{replica}.npz", *values)


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> dict[str, Arrays]:
    folder = tmp_path_factory.mktemp("statistics")
    code = "import os, sys; sys.path.insert(0, 'tests'); import test_statistics as t; "
    for count in (2, 4):
        # Ends without the second that Python needs to take TensorFlow down.
        call = f"t.several_replicas({str(folder)!r}, {count}); os._exit(0)"
        done = helpers.python("-c", code + call)
        assert done.returncode == 0, done.stderr
    return {file.stem: list(np.load(file).values()) for file in folder.glob("*.npz")}


def check_precise(found: dict[str, np.ndarray], parts: int) -> None:
    model, before = prepared(), statistics_of(prepared())
    images = [x for batch, _ in batches(COUNT) for x in np.split(batch, parts)]
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
        check_precise(dict(zip(paths, results[f"precise2_{replica}"], strict=True)), 2)


def test_layers_remember_as_before_after_an_error() -> None:
    model = prepared()

    def broken():
        yield share(ONE, batches(1)[0])
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        statistics.precise(ONE, model, broken(), COUNT)
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert {layer.momentum for layer in norms} == {MOMENTUM}


def errors(found: Arrays, expected: Arrays) -> list[float]:
    """The largest difference in each, relative to its largest number."""
    return [
        float(np.abs(f - e).max() / np.abs(e).max()) for f, e in zip(found, expected, strict=True)
    ]


@pytest.mark.parametrize("count", [2, 4])
def test_synchronized_replicas_are_one_device(results, count) -> None:
    """Statistics included, on each replica; no replica's own 4 or 2 images would do."""
    model = network()
    reference([model], RECIPE)
    for replica in range(count):
        found = errors(results[f"together{count}_{replica}"], model.get_weights())
        assert max(found) < 1e-5
    assert max(errors(results["apart2_0"], model.get_weights())) > 0.01


def test_synchronization_is_of_the_layers_that_learn_and_can_be_ended() -> None:
    model = prepared()
    statistics.synchronize(model, True)
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert {x.name.startswith(FROZEN) for x in norms if not x.synchronized} == {True}
    assert len(statistics.layers(model)) == sum(x.synchronized for x in norms) > 0
    statistics.synchronize(model, False)
    assert not any(x.synchronized for x in norms)


@pytest.mark.parametrize("count", [2, 4])
def test_replicas_get_the_mean_of_their_values(results, count) -> None:
    mean = np.mean(2.0 ** np.arange(count))
    for replica in range(count):
        vector, scalar = results[f"averaged{count}_{replica}"]
        np.testing.assert_array_equal(vector, np.full(3, mean))
        np.testing.assert_array_equal(scalar, mean)


def test_one_device_keeps_its_values() -> None:
    vector, scalar = averaged(ONE)[0]
    assert vector.tolist() == [1, 1, 1]
    assert scalar == 1
