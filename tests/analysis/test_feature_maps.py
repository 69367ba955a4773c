"""Feature maps of layers and endpoints."""

import keras
import numpy as np
import pytest

import keras_resnet
from keras_resnet.analysis import feature_maps
from tests.support import exporting, foreign, torch_cifar, torch_nets


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_maps_of_a_stage_are_those_of_torch(stage: int) -> None:
    model, _ = exporting.network("resnet20", repeats=[2, 2, 2])
    net = torch_cifar.Network(2, "after", 7).filled(foreign.state(model))
    images = np.random.default_rng(0).normal(size=(3, 32, 32, 3)).astype("float32")
    kept = []
    stages = net.get_submodule(f"layer{stage}")
    stages.register_forward_hook(lambda _module, _inputs, output: kept.append(output))
    torch_nets.logits(net, images)
    maps = feature_maps(model, images, f"stage{stage}")
    assert maps.dtype == np.float32
    assert torch_nets.error(maps, kept[0].numpy().transpose(0, 2, 3, 1)) < 1e-5


def test_a_layer_may_be_inside_of_a_block_and_of_half_precision() -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = keras_resnet.resnet("resnet20", repeats=[1, 1])
    finally:
        keras.config.set_dtype_policy("float32")
    images = exporting.pixels(2)
    maps = feature_maps(model, images, "stage2_block1_conv1")
    inner = keras.Model(model.input, model.get_layer("stage2_block1_conv1").output)(images)
    assert keras.backend.standardize_dtype(inner.dtype) == "bfloat16"
    np.testing.assert_array_equal(maps, np.asarray(inner, "float32"))


def test_other_names_are_refused() -> None:
    model, _ = exporting.network("resnet20")
    with pytest.raises(ValueError, match="resnet20 has no layer or endpoint 'stage2_block1_conv'"):
        feature_maps(model, exporting.pixels(1), "stage2_block1_conv")
    with pytest.raises(ValueError, match="logits has no feature map"):
        feature_maps(model, exporting.pixels(1), "logits")
    with pytest.raises(ValueError, match=r"must be \[batch, 32, 32, 3\], got \[1, 8, 8, 3\]"):
        feature_maps(model, exporting.pixels(1, 8), "stage1")
    foreign_model = keras.applications.MobileNetV2((32, 32, 3), weights=None, classes=3)
    with pytest.raises(ValueError, match="known is Conv1 or bn_Conv1"):
        feature_maps(foreign_model, exporting.pixels(1), "stage1")
