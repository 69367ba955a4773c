"""Every variant computes what the papers describe, learns, and survives its files."""

import keras
import numpy as np
import tensorflow as tf

from tests.support import reference, variants
from tests.support.variants import Variant, each_kind, every, images

SIZES = [(32, 32), (37, 41), (34, 39)]  # even, odd, and odd after some halvings


def oracle(variant: Variant, model: keras.Model) -> reference.Network:
    fields = variant.fields
    return reference.Network(
        weights=variants.weights_by_layer(model),
        shortcut=fields.get("shortcut", "B"),
        stem_strides=tuple(conv[2] if len(conv) == 3 else 1 for conv in fields["stem"]),
        stem_pool=fields.get("stem_pool", "symmetric"),
        strided=1 if len(fields["branch"]) == 3 and "stride_on" in fields else 0,
        preact=fields.get("preact", False),
        around=fields.get("zero_channels") == "around",
        last=fields.get("stride_block") == "last",
        same=fields.get("padding") == "same",
        stem_norm=fields.get("stem_norm", True),
    )


@every
def test_networks_compute_what_numpy_does(variant: Variant) -> None:
    model = variants.model(variant)
    network = oracle(variant, model)
    for size in SIZES:
        x = images(2, *size, 3)
        expected = network.endpoints(np.float64(x), variant.fields["repeats"])
        found = model(x)
        assert list(found) == list(expected)
        for name, value in expected.items():
            assert found[name].shape == value.shape, name
            largest = np.abs(value).max()
            assert largest > 0.1
            np.testing.assert_allclose(found[name], value, atol=2e-5 * largest, rtol=0)


@each_kind
def test_a_keras_file_holds_the_whole_network(variant: Variant, tmp_path) -> None:
    model = variants.model(variant)
    model.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    x = images(1, 32, 32, 3)
    for name, value in model(x).items():
        np.testing.assert_array_equal(loaded(x)[name], value)
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]


@every
def test_a_gradient_reaches_every_weight(variant: Variant) -> None:
    model = variants.start(variant)
    x, labels = images(4, 32, 32, 3), np.array([0, 1, 2, 3])
    with tf.GradientTape() as tape:
        logits = model(x, training=True)
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    assert np.isfinite(loss).all()
    gradients = tape.gradient(loss, model.trainable_variables)
    for weight, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert gradient is not None, weight.path
        assert np.isfinite(gradient).all(), weight.path
        assert np.abs(gradient).max() > 0, weight.path


@every
def test_every_kernel_starts_with_its_own_values(variant: Variant) -> None:
    kernels = [w.numpy() for w in variants.start(variant).trainable_variables if w.name == "kernel"]
    corners = [float(kernel.ravel()[0]) for kernel in kernels]
    assert len(set(corners)) == len(corners)


@every
def test_the_graph_is_flat_and_biases_are_where_no_norm_follows(variant: Variant) -> None:
    model = variants.start(variant)
    assert not [layer.name for layer in model.layers if isinstance(layer, keras.Model)]
    convs = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    biased = [] if variant.fields.get("stem_norm", True) else ["stem_conv1"]
    assert [layer.name for layer in convs if layer.bias is not None] == biased
    assert model.get_layer("logits").bias is not None


@every
def test_normalization_is_the_authors(variant: Variant) -> None:
    """fb.resnet.torch and the Caffe models: epsilon 1e-5; one tenth of each batch is new."""
    model = variants.start(variant)
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    convs = [x for x in model.layers if isinstance(x, keras.layers.Conv2D)]
    assert len(norms) >= len(convs) // 2
    for layer in norms:
        assert (layer.epsilon, layer.momentum, layer.axis) == (1e-5, 0.9, -1)
        assert layer.center
        assert layer.scale
        assert (layer.gamma.numpy() == 1).all()
        assert (layer.beta.numpy() == 0).all()
