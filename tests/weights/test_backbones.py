"""A file of a classifier fills the backbone inside a larger model, such as a detector."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_resnet import resnet, weights
from tests.support.helpers import randomize
from tests.support.saved_networks import manifest, network


def detector(last: str = "stage3") -> keras.Model:
    """Two heads on the feature maps of two stages, one of them with a normalization of its own."""
    image = keras.Input((32, 32, 3))
    maps = resnet("resnet8", input_tensor=image, endpoints=True).output
    boxes = layers.Conv2D(4, 1, name="boxes")(maps[last])
    scores = layers.BatchNormalization(name="scores_bn")(maps["stage2"])
    scores = layers.Conv2D(2, 1, name="scores")(scores)
    return keras.Model(image, [boxes, scores])


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.weights.h5"
    weights.save(network(), path, manifest())
    return path


def test_a_backbone_is_filled_and_its_heads_stay(file) -> None:
    model = randomize(detector(), seed=1)
    heads = {x.name: x.get_weights() for x in model.layers if x.name.startswith(("boxes", "sco"))}
    weights.load(model, file, backbone=True)
    expected = keras_network(file)
    filled = 0
    for layer in model.layers:
        for i, weight in enumerate(layer.get_weights()):
            own = heads.get(layer.name) or expected.get_layer(layer.name).get_weights()
            np.testing.assert_array_equal(weight, own[i])
            filled += layer.name not in heads
    assert filled == 7 + 7 * 4


def keras_network(file) -> keras.Model:
    """The network in a file, which Keras reads by itself: layers are in the order of building."""
    model = network()
    model.load_weights(file)
    return model


def test_a_larger_model_is_refused_unless_its_backbone_is_asked_for(file) -> None:
    with pytest.raises(ValueError, match=r"missing are .*boxes/kernel"):
        weights.load(detector(), file)


def test_a_backbone_has_all_stages_and_all_its_weights(file, tmp_path) -> None:
    with pytest.raises(ValueError, match=r"left over are .*stage3_block1_conv1/kernel"):
        weights.load(detector("stage2"), file, backbone=True)
    weights.save(resnet("resnet8", repeats=(1, 1)), tmp_path / "b.weights.h5")
    with pytest.raises(ValueError, match=r"missing are .*stage3_block1_conv1"):
        weights.load(detector(), tmp_path / "b.weights.h5", backbone=True)


def test_others_backbones_need_their_spec(tmp_path) -> None:
    source = randomize(resnet("resnet18_v1_5", classes=3))
    weights.save(source, tmp_path / "a.safetensors", as_="torchvision")
    image = keras.Input((32, 32, 3))
    maps = resnet("resnet18_v1_5", input_tensor=image, endpoints=True)
    heads = layers.Conv2D(4, 1, name="boxes")(maps.output["stage4"])
    model = keras.Model(image, heads)
    with pytest.raises(ValueError, match="give the spec"):
        weights.load(model, tmp_path / "a.safetensors", backbone=True)
    weights.load(model, tmp_path / "a.safetensors", maps.spec, backbone=True)
    for layer in maps.layers:
        if layer.weights:
            pairs = zip(layer.weights, source.get_layer(layer.name).weights, strict=True)
            for mine, theirs in pairs:
                np.testing.assert_allclose(mine, theirs, atol=1e-6)
