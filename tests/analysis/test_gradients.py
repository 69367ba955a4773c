"""Norms of gradients: those that PyTorch computes in training, with the same weights."""

import keras
import numpy as np
import pytest
import torch
import torchvision.models.resnet as torchvision

import keras_resnet
from keras_resnet.analysis import gradient_norms
from keras_resnet.rewrite.int8 import quantized
from tests.support import exporting, foreign, torch_cifar, torch_nets

CLASSES = 7


def examples(count: int = 6, size: int = 32) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    images = random.normal(size=(count, size, size, 3)).astype("float32")
    return images, random.integers(0, CLASSES, count)


def theirs(net: torch.nn.Module, images: np.ndarray, labels: np.ndarray) -> tuple:
    """The loss; norms at kernels but those of projections, and at outputs of blocks."""
    outputs = {}
    for stage in range(1, 5):
        for number, block in enumerate(getattr(net, f"layer{stage}", [])):

            def see(_module, _inputs, output, name=f"stage{stage}_block{number + 1}") -> None:
                output.retain_grad()
                outputs[name] = output

            block.register_forward_hook(see)
    net.train()
    target = torch.as_tensor(labels)
    loss = torch.nn.functional.cross_entropy(net(torch_nets.nchw(images)), target)
    loss.backward()
    kernels = {
        torch_cifar.ours(name): module.weight.grad.norm().item()
        for name, module in net.named_modules()
        if isinstance(module, torch.nn.Conv2d) and "downsample" not in name
    }
    return loss.item(), kernels, {name: x.grad.norm().item() for name, x in outputs.items()}


def check(model: keras.Model, net: torch.nn.Module, ends: str) -> None:
    images, labels = examples()
    before = model.get_weights()
    found = gradient_norms(model, images, labels)
    loss, kernels, blocks = theirs(net, images, labels)
    assert found.loss == pytest.approx(loss, rel=1e-4)
    assert list(found.kernels) == list(kernels)
    assert found.kernels == pytest.approx(kernels, rel=1e-3)
    assert found.blocks == pytest.approx({n + ends: x for n, x in blocks.items()}, rel=1e-3)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)  # moving statistics, too


@pytest.mark.parametrize("shortcut", ["after", None])
def test_norms_are_those_of_torch(shortcut) -> None:
    model, _ = exporting.network("resnet20" if shortcut else "plain20", repeats=[2, 2, 2])
    net = torch_cifar.Network(2, shortcut, CLASSES).filled(foreign.state(model))
    check(model, net, "_relu")


def test_norms_of_bottlenecks_are_those_of_torch() -> None:
    model, _ = exporting.network("resnet50_v1_5", repeats=[1, 1, 1, 1])
    net = torchvision.ResNet(torchvision.Bottleneck, [1, 1, 1, 1], num_classes=CLASSES)
    state = {name: torch.as_tensor(value) for name, value in foreign.state(model).items()}
    net.load_state_dict(state, strict=False)
    check(model, net, "_relu")


@pytest.mark.parametrize(
    ("network", "fields", "end"),
    [
        ("resnet20_v2", {}, "add"),
        ("plain20", {"preact": True}, "conv2"),
        ("resnet20", {"stochastic_depth": 0.9}, "relu"),
    ],
    ids=str,
)
def test_a_block_ends_in_its_last_layer(network: str, fields: dict, end: str) -> None:
    model, _ = exporting.network(network, **fields)
    found = gradient_norms(model, *examples())
    assert list(found.blocks) == [f"stage{s}_block{b}_{end}" for s, b in ((1, 1), (1, 2), (2, 1))]
    assert min(found.blocks.values()) > 0
    assert gradient_norms(model, *examples()) == found  # no branch is dropped by chance


def test_a_softmax_and_logits_have_one_loss() -> None:
    fields = {"repeats": [1, 1], "classes": CLASSES, "input_shape": (32, 32, 3)}
    logits = keras_resnet.resnet("resnet20", classifier_activation=None, **fields)
    softmax = keras_resnet.resnet("resnet20", **fields)
    softmax.set_weights(logits.get_weights())
    assert gradient_norms(softmax, *examples()) == gradient_norms(logits, *examples())


def test_quantized_networks_have_gradients() -> None:
    model, _ = exporting.network("resnet20")
    rounded = quantized(model)
    images, labels = examples()
    rounded(images, training=True)
    before = rounded.get_weights()
    found = gradient_norms(rounded, images, labels)
    assert min(found.kernels.values()) > 0
    for old, new in zip(before, rounded.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_what_makes_no_sense_is_refused() -> None:
    images, labels = examples()
    model, _ = exporting.network("resnet20", repeats=[1])
    with pytest.raises(ValueError, match="labels must be one integer per image, for 6 images"):
        gradient_norms(model, images, labels[:2])
    with pytest.raises(ValueError, match=r"labels must be in 0..6, got \[7, 7"):
        gradient_norms(model, images, [7] * 6)
    with pytest.raises(ValueError, match=r"must be \[batch, 32, 32, 3\], got \[6, 32, 16, 3\]"):
        gradient_norms(model, images[:, :, :16], labels)
    fields = {"repeats": [1], "input_shape": (32, 32, 3)}
    several = keras_resnet.resnet("resnet20", classifier_activation="sigmoid", **fields)
    with pytest.raises(ValueError, match="needs a softmax over classes; resnet20 has a sigmoid"):
        gradient_norms(several, images, labels)
    headless = keras_resnet.resnet("resnet20", include_top=False, **fields)
    with pytest.raises(ValueError, match="needs a classifier: resnet20 has no layer logits"):
        gradient_norms(headless, images, labels)
    with pytest.raises(ValueError, match="has no spec"):
        gradient_norms(keras.Model(model.input, model.output), images, labels)
