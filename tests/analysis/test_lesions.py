"""Removed branches, against PyTorch and against networks whose branches compute zeros."""

import copy

import keras
import numpy as np
import pytest
import torch

import keras_resnet
from keras_resnet.analysis import lesion
from keras_resnet.rewrite.int8 import quantized
from tests.support import exporting, torch_cifar, torch_nets
from tests.support.cifar10_images import read

NETWORKS = {
    "A": ("resnet20", {}),
    "C": ("resnet20", {"shortcut": "C"}),
    "D": ("resnet50_d", {}),
    "v2": ("resnet20_v2", {}),
    "stochastic depth": ("resnet20", {"stochastic_depth": 0.5}),
}


def silenced(model: keras.Model, block: str) -> keras.Model:
    """A copy of a network in which the branch of a block computes zeros."""
    other = keras.models.clone_model(model)
    other.set_weights(model.get_weights())
    # The last layer of the branch with weights: a BN, or in v2 a convolution.
    last = [layer for layer in other.layers if layer.name.startswith(f"{block}_conv")]
    last = max((layer for layer in last if layer.weights), key=lambda layer: layer.name)
    weights = last.get_weights()
    zeros = 2 if last.name.endswith("_bn") else 1  # gamma and beta, or the kernel
    last.set_weights([0 * value for value in weights[:zeros]] + weights[zeros:])
    return other


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_removed_branch_is_one_that_computes_zeros(kind: str) -> None:
    name, fields = NETWORKS[kind]
    model, _ = exporting.network(name, **fields)
    images = np.random.default_rng(0).normal(size=(40, 32, 32, 3)).astype("float32")
    head = model.get_layer("logits")
    kernel, bias = head.get_weights()
    # Otherwise one class has the highest logit of all images.
    head.set_weights([kernel, bias - np.mean(model(images), 0)])
    labels = np.argmax(model(images), 1)
    found = lesion(model, images, labels, batch_size=16)
    assert found.accuracy == 100
    expected = {
        block: 100 * np.mean(np.argmax(silenced(model, block)(images), 1) == labels)
        for block in ("stage1_block1", "stage1_block2", "stage2_block1")
    }
    assert found.without == pytest.approx(expected)
    assert len(set(expected.values())) > 1


@pytest.mark.parametrize(
    ("shortcut", "changing"),
    [
        ("A", ("stage2_block1",)),
        ("B", ("stage2_block1",)),
        ("C", ("stage1_block1", "stage1_block2", "stage2_block1")),
    ],
)
def test_blocks_whose_shortcut_is_no_identity(shortcut: str, changing: tuple) -> None:
    model, _ = exporting.network("resnet20", shortcut=shortcut)
    images = exporting.pixels(2)
    assert lesion(model, images, [0, 1]).changing == changing
    rounded = quantized(model)
    rounded(images, training=True)
    assert lesion(rounded, images, [0, 1]).changing == changing


def test_trained_weights_lose_what_torch_says(data_dir) -> None:
    file = data_dir / "weights" / "akamaster" / "resnet20-12fca82f.th"
    images, labels = (part[:100] for part in read(data_dir, "test"))
    model = keras_resnet.from_weights(file)
    x = np.asarray(model.preprocessing(images))
    found = lesion(model, x, labels, batch_size=64)
    expected = {}
    whole = torch_cifar.akamaster(file, 3)
    for stage in (1, 2, 3):
        for number in (1, 2, 3):
            net = copy.deepcopy(whole)
            norm = net.get_submodule(f"layer{stage}.{number - 1}.bn2")
            torch.nn.init.zeros_(norm.weight)
            torch.nn.init.zeros_(norm.bias)
            right = torch_nets.logits(net, x).argmax(1) == labels
            expected[f"stage{stage}_block{number}"] = 100 * right.mean()
    # A logit that ties to float32 may fall either way.
    assert found.without == pytest.approx(expected, abs=1)
    assert found.accuracy > max(expected.values())
    # As Veit et al. found, blocks that change the shape matter most.
    assert set(sorted(expected, key=expected.get)[:2]) == set(found.changing)


def test_what_makes_no_sense_is_refused() -> None:
    plain, _ = exporting.network("plain20")
    images = exporting.pixels(2)
    with pytest.raises(ValueError, match="lesion needs shortcuts, plain20 has none"):
        lesion(plain, images, [0, 1])
    one = keras_resnet.resnet("resnet20", classes=1, classifier_activation="sigmoid", repeats=[1])
    with pytest.raises(ValueError, match="at least two classes, resnet20 has one output"):
        lesion(one, images, [0, 0])
    model, _ = exporting.network("resnet20", repeats=[1])
    with pytest.raises(ValueError, match="labels must be one integer per image, for 2 images"):
        lesion(model, images, [0.5, 1])
    with pytest.raises(ValueError, match="has no spec"):
        lesion(keras.Model(model.input, model.output), images, [0, 1])
    headless = keras_resnet.resnet("resnet20", include_top=False, repeats=[1])
    with pytest.raises(ValueError, match="needs a classifier: resnet20 has no layer logits"):
        lesion(headless, images, [0, 1])
