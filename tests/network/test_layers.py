"""FusedBatchNormalization is Keras's own in numbers; PadChannels pads."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.layers import BatchNormalization

from keras_resnet.layers import FusedBatchNormalization, PadChannels
from tests.support import helpers

KERNEL = "FusedBatchNormV3"
SHAPE = (4, 5, 6, 3)
SETTINGS = [{}, {"momentum": 0.9, "epsilon": 1e-5}, {"momentum": 0.5, "epsilon": 0.1}]
FALLBACKS = {  # arguments, shape of the input
    "axis 1": ({"axis": 1}, SHAPE),
    "axis 2": ({"axis": -2}, SHAPE),
    "rank 2": ({}, (16, 3)),
    "rank 3": ({}, (4, 8, 3)),
    "rank 5": ({}, (2, 3, 4, 2, 3)),
    "float64": ({"dtype": "float64"}, SHAPE),
    "no scale": ({"scale": False}, SHAPE),
    "no center": ({"center": False}, SHAPE),
    "synchronized": ({"synchronized": True}, SHAPE),
    "renormalization": ({"renorm": True}, SHAPE),
}


def inputs(shape=SHAPE, dtype: str = "float32") -> tf.Tensor:
    x = np.random.default_rng(0).normal(3, 2, shape)
    return tf.cast(tf.constant(x), dtype)


def built(kind: type, shape=SHAPE, **arguments) -> BatchNormalization:
    """Returns a layer whose weights are neither zeros nor ones."""
    layer = kind(**arguments)
    layer.build(shape)
    random = np.random.default_rng(1)
    layer.set_weights([random.uniform(0.5, 1.5, w.shape) for w in layer.weights])
    return layer


def learn(layer, x: tf.Tensor, jit: bool = False) -> list[np.ndarray]:
    """Returns outputs in training, gradients for the input and the weights, and the weights."""

    @tf.function(jit_compile=jit)
    def step(x: tf.Tensor):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
            loss = tf.reduce_sum(tf.sin(tf.cast(y, tf.float32)))
        return y, tape.gradient(loss, [x, *layer.trainable_variables])

    y, gradients = step(x)
    return [np.float64(tf.cast(v, "float64")) for v in (y, *gradients, *layer.variables[:4])]


def kernels(layer, x: tf.Tensor, training: bool = True) -> list[str]:
    graph = tf.function(lambda x: layer(x, training=training)).get_concrete_function(x).graph
    return [op.name for op in graph.get_operations() if op.type == KERNEL]


def close(found, expected, tolerance: float = 2e-5) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("jit", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_it_trains_as_keras_does(settings, jit: bool) -> None:
    fused, stock = (
        built(kind, **settings) for kind in (FusedBatchNormalization, BatchNormalization)
    )
    for _ in range(2):
        close(learn(fused, inputs(), jit), learn(stock, inputs()))
    close([fused(inputs(), training=False)], [stock(inputs(), training=False)])


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_training_is_what_its_paper_says(settings) -> None:
    """arXiv:1502.03167, algorithm 1, with biased variance; the average takes 1 - momentum."""
    layer = built(FusedBatchNormalization, **settings)
    gamma, beta, mean, variance = layer.get_weights()
    x = np.float64(inputs())
    batch_mean, batch_variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    expected = (x - batch_mean) / np.sqrt(batch_variance + layer.epsilon) * gamma + beta
    close([layer(inputs(), training=True)], [expected])
    keep = settings.get("momentum", 0.99)
    close([layer.moving_mean.numpy()], [keep * mean + (1 - keep) * batch_mean])
    close([layer.moving_variance.numpy()], [keep * variance + (1 - keep) * batch_variance])


@pytest.mark.parametrize("training", [None, False])
def test_inference_uses_the_moving_statistics(training) -> None:
    layer = built(FusedBatchNormalization)
    gamma, beta, mean, variance = before = layer.get_weights()
    expected = (inputs() - mean) / np.sqrt(variance + 1e-3) * gamma + beta
    close([layer(inputs(), training=training)], [expected])
    close(layer.get_weights(), before, 0)


def test_a_frozen_layer_only_infers() -> None:
    """Keras: trainable=False also stops the moving statistics, as fine-tuning needs."""
    layer = built(FusedBatchNormalization)
    expected, before = layer(inputs(), training=False), layer.get_weights()
    layer.trainable = False
    close([layer(inputs(), training=True)], [expected], 0)
    close(layer.get_weights(), before, 0)
    assert layer.trainable_variables == []


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_keeps_float32_statistics(dtype: str) -> None:
    x = inputs(dtype=dtype)
    exact = np.float64(tf.cast(x, "float64"))
    layer = built(FusedBatchNormalization, dtype=f"mixed_{dtype}", momentum=0.5)
    gamma, beta, mean, variance = layer.get_weights()
    y = layer(x, training=True)
    assert y.dtype == dtype
    assert {w.dtype for w in layer.weights} == {"float32"}
    batch_mean, batch_variance = exact.mean((0, 1, 2)), exact.var((0, 1, 2))
    close([layer.moving_mean.numpy()], [(mean + batch_mean) / 2], 1e-5)
    close([layer.moving_variance.numpy()], [(variance + batch_variance) / 2], 1e-5)
    expected = (exact - batch_mean) / np.sqrt(batch_variance + 1e-3) * gamma + beta
    close([tf.cast(y, "float64")], [expected], 2e-2)
    assert layer(x, training=False).dtype == dtype
    for gradient, weight in zip(learn(layer, x)[2:4], (gamma, beta), strict=True):
        assert np.isfinite(gradient).all()
        assert gradient.shape == weight.shape


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_it_is_one_kernel(dtype: str, training: bool) -> None:
    policy = dtype if dtype == "float32" else f"mixed_{dtype}"
    layer = built(FusedBatchNormalization, dtype=policy)
    assert len(kernels(layer, inputs(dtype=dtype), training)) == 1
    assert not kernels(built(BatchNormalization, dtype=policy), inputs(dtype=dtype), training)


@pytest.mark.parametrize(("arguments", "shape"), FALLBACKS.values(), ids=FALLBACKS)
def test_it_falls_back_to_keras(arguments, shape) -> None:
    fused, stock = (
        built(kind, shape, **arguments) for kind in (FusedBatchNormalization, BatchNormalization)
    )
    x = inputs(shape, arguments.get("dtype", "float32"))
    assert not kernels(fused, x)
    for training in (True, False):
        close([fused(x, training=training)], [stock(x, training=training)], 1e-6)
    close(fused.get_weights(), stock.get_weights(), 1e-6)


def test_a_mask_falls_back_to_keras() -> None:
    fused, stock = (built(kind) for kind in (FusedBatchNormalization, BatchNormalization))
    mask = tf.constant(np.random.default_rng(2).random(SHAPE[:3]) < 0.5)
    outputs = [layer(inputs(), training=True, mask=mask) for layer in (fused, stock)]
    close(*([output] for output in outputs), 1e-6)
    close(fused.get_weights(), stock.get_weights(), 1e-6)


def test_one_pixel_has_no_variance() -> None:
    fused, stock = (
        built(kind, (1, 1, 1, 3)) for kind in (FusedBatchNormalization, BatchNormalization)
    )
    x = inputs((1, 1, 1, 3))
    close([fused(x, training=True)], [stock(x, training=True)])
    close(fused.get_weights(), stock.get_weights())


def test_both_layers_survive_a_file(tmp_path) -> None:
    image = keras.Input((4, 4, 3))
    x = FusedBatchNormalization(momentum=0.8, epsilon=0.01, name="bn")(image)
    model = keras.Model(image, PadChannels(2, 3, name="zeros")(x))
    model.get_layer("bn").set_weights([np.float32([i, i + 1, i + 2]) for i in range(1, 5)])
    model.save(tmp_path / "two.keras")
    loaded = keras.saving.load_model(tmp_path / "two.keras")
    x = inputs((2, 4, 4, 3))
    np.testing.assert_array_equal(loaded(x), model(x))
    bn, zeros = loaded.get_layer("bn"), loaded.get_layer("zeros")
    assert (type(bn), bn.momentum, bn.epsilon) == (FusedBatchNormalization, 0.8, 0.01)
    assert (type(zeros), zeros.before, zeros.after) == (PadChannels, 2, 3)
    again = FusedBatchNormalization.from_config(bn.get_config())
    assert again.get_config() == bn.get_config()


@pytest.mark.parametrize(("before", "after"), [(0, 4), (2, 2), (0, 0)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_channels_of_zeros_are_appended(before: int, after: int, dtype: str) -> None:
    layer, x = PadChannels(before, after, dtype=dtype), inputs(dtype=dtype)
    y = layer(x)
    assert y.dtype == dtype
    expected = np.zeros((*SHAPE[:3], before + 3 + after))
    expected[..., before : before + 3] = np.float64(tf.cast(x, "float64"))
    np.testing.assert_array_equal(tf.cast(y, "float64"), expected)
    assert layer(keras.Input((None, None, 3))).shape == (None, None, None, before + 3 + after)
    assert layer.compute_output_shape((2, 8, None, 3)) == (2, 8, None, before + 3 + after)


@pytest.mark.parametrize(("before", "after"), [(-1, 2), (0, -2)])
def test_channels_cannot_be_taken_away(before: int, after: int) -> None:
    with pytest.raises(ValueError, match=f"before={before}, after={after}"):
        PadChannels(before, after)


@pytest.fixture(scope="module")
def on_jax(tmp_path_factory):
    """What both layers compute on JAX, in a process of their own, by kind, images and dtype."""
    folder = tmp_path_factory.mktemp("jax")
    done = helpers.python(
        "-m", "tests.support.normalization_on_jax", str(folder), KERAS_BACKEND="jax"
    )
    assert done.returncode == 0, done.stderr
    return lambda kind, name, dtype: dict(np.load(folder / f"{kind.__name__} {name} {dtype}.npz"))


@pytest.mark.parametrize("name", ["three", "pixel", "many"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_on_jax_it_is_keras_in_numbers(on_jax, name: str, dtype: str) -> None:
    found, expected = (
        on_jax(k, name, dtype) for k in (FusedBatchNormalization, BatchNormalization)
    )
    tolerance = 2e-4 if dtype == "float32" else 3e-2
    for what in expected.keys() - {"bytes"}:
        scale = np.abs(expected[what]).max() + 1
        close([found[what] / scale], [expected[what] / scale], tolerance)


def test_on_jax_a_large_mean_loses_no_variance(on_jax) -> None:
    x = np.random.default_rng(0).normal(1e4, 2, SHAPE).astype(np.float32).astype(np.float64)
    gamma, beta, mean, variance = np.random.default_rng(1).uniform(0.5, 1.5, (4, 3))
    found = on_jax(FusedBatchNormalization, "far", "float32")
    expected = (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5) * gamma + beta
    close([found["train 0"]], [expected], 2e-3)  # the mean itself is rounded to 1e-3
    close([found["train 1"]], [0.9 * mean + 0.1 * x.mean((0, 1, 2))], 1e-6)
    close([found["train 2"]], [0.9 * variance + 0.1 * x.var((0, 1, 2))], 1e-5)


def test_on_jax_it_accesses_fewer_bytes(on_jax) -> None:
    fused, stock = (
        on_jax(k, "many", "float32") for k in (FusedBatchNormalization, BatchNormalization)
    )
    assert fused["bytes"] < 0.9 * stock["bytes"]
