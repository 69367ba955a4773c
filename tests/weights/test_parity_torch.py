"""torchvision's and timm's ResNets and ours, from one file of random weights and statistics."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import torch

from keras_resnet import resnet, weights
from tests.support import torch_nets, variants
from tests.support.products import crossed
from tests.support.torch_nets import error

BOUND = 1e-4
ODD = (97, 115)
# Theirs to ours; a dictionary where the family has no name for it.
NETWORKS = {
    "torchvision.resnet18": "resnet18_v1_5",
    "torchvision.resnet34": "resnet34_v1_5",
    "torchvision.resnet50": "resnet50_v1_5",
    "torchvision.resnet101": "resnet101_v1_5",
    "torchvision.resnet152": "resnet152_v1_5",
    "torchvision.wide_resnet50_2": "wide_resnet50_2",
    "torchvision.wide_resnet101_2": "wide_resnet101_2",
    "timm.resnet18d": "resnet18_d",
    "timm.resnet34d": "resnet34_d",
    "timm.resnet50d": "resnet50_d",
    "timm.resnet101d": "resnet101_d",
    "timm.resnet152d": "resnet152_d",
    "timm.resnet200d": "resnet200_d",
    "timm.resnet200": "resnet200_v1_5",
    "timm.resnet18": "resnet18_v1_5",
    "timm.resnet50": "resnet50_v1_5",
}
UNNAMED = ("resnet10t", "resnet14t", "resnet26", "resnet26d", "resnet26t", "resnet50c", "resnet50t")
SMALL = ("torchvision.resnet18", "torchvision.resnet50", "timm.resnet18d", "timm.resnet50d")
FORMATS = (".pth", ".old", ".safetensors")


def some(networks: Iterable[str], *quick: str) -> list[Any]:
    """Marks as slow all but a few networks, which have all that the others have."""
    slow = pytest.mark.slow
    return [name if name in quick else pytest.param(name, marks=slow) for name in networks]


def load(file: Path):
    return resnet.from_weights(file, classifier_activation=None)


@pytest.mark.parametrize("network", some(NETWORKS, *SMALL))
def test_logits_are_theirs(network: str, tmp_path) -> None:
    """At an odd size; even ones come with the formats."""
    net = torch_nets.build(network)
    file = torch_nets.save(net, tmp_path / "a.safetensors")
    ours = NETWORKS[network]
    model = load(file)
    assert (model.name, model.manifest.fields) == (ours, {})
    x = variants.images(1, *ODD, 3)
    assert error(model(x), torch_nets.logits(net, x)) < BOUND
    again = resnet(ours, weights=file, classifier_activation=None)
    np.testing.assert_array_equal(again(x), model(x))


@pytest.mark.parametrize("network", some(UNNAMED, "resnet10t", "resnet26d", "resnet50c"))
def test_networks_without_a_name_are_built_from_their_shapes(network: str, tmp_path) -> None:
    net = torch_nets.build(f"timm.{network}")
    model, x = load(torch_nets.save(net, tmp_path / "a.pth")), variants.images(1, *ODD, 3)
    assert error(model(x), torch_nets.logits(net, x)) < BOUND


@crossed("network,suffix", SMALL, FORMATS)
def test_every_format_holds_the_same(network: str, suffix: str, tmp_path) -> None:
    net = torch_nets.build(network, num_classes=7)
    model, x = load(torch_nets.save(net, tmp_path / f"a{suffix}")), variants.images(1, 64, 96, 3)
    assert error(model(x), torch_nets.logits(net, x)) < BOUND
    assert model.manifest.labels == tuple("0123456")


@crossed("dtype,suffix", [torch.float16, torch.bfloat16, torch.float64], FORMATS)
def test_other_precisions_are_read_as_they_are(dtype, suffix: str, tmp_path) -> None:
    net = torch_nets.build("torchvision.resnet18", num_classes=7).to(dtype)
    model, x = load(torch_nets.save(net, tmp_path / f"a{suffix}")), variants.images(1, 64, 64, 3)
    assert error(model(x), torch_nets.logits(net.float(), x)) < BOUND


def gradient_errors(network: str, file: Path, seed: int, dtype: str) -> list[float]:
    """Of the stem, a 3x3 convolution in the middle, and a normalization near the end."""
    net = torch_nets.build(network)
    torch_nets.save(net, file)
    theirs = ["conv1.0.weight" if network.endswith("d") else "conv1.weight"]
    theirs += ["layer3.0.conv2.weight", "layer4.1.bn1.weight"]
    ours = ["stem_conv1/kernel", "stage3_block1_conv2/kernel", "stage4_block2_conv1_bn/gamma"]
    x = variants.images(2, *ODD, 3, seed=seed).astype(dtype)
    expected = torch_nets.their_gradients(net.to(getattr(torch, dtype)), x, theirs)
    found = torch_nets.our_gradients(load(file), x, ours)
    return [error(a, b) for a, b in zip(found, expected, strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize("network", SMALL)
def test_gradients_are_theirs_in_float32(network: str, tmp_path) -> None:
    """Where rounding decides no slope of an activation next to 0."""
    file = tmp_path / "a.pth"
    assert min(max(gradient_errors(network, file, seed, "float32")) for seed in (1, 2, 3)) < BOUND


@pytest.mark.parametrize("network", some(SMALL, "torchvision.resnet18"))
def test_gradients_are_theirs(network: str, tmp_path) -> None:
    file = tmp_path / "a.pth"
    keras.config.set_dtype_policy("float64")
    try:
        assert max(gradient_errors(network, file, 1, "float64")) < 1e-12
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize(
    "network",
    some(
        [*SMALL, "torchvision.wide_resnet50_2", "timm.resnet26t", "timm.resnet50c"],
        *("torchvision.resnet18", "timm.resnet26t", "timm.resnet50d"),
    ),
)
def test_ours_become_theirs(network: str, tmp_path) -> None:
    model = load(torch_nets.save(torch_nets.build(network), tmp_path / "a.pth"))
    variants.randomize(model)
    weights.save(model, tmp_path / "ours.safetensors", as_="torchvision")
    net = torch_nets.build(network)
    state = torch_nets.load_file(tmp_path / "ours.safetensors")
    net.load_state_dict(state, strict=True)
    x = variants.images(1, *ODD, 3)
    assert error(model(x), torch_nets.logits(net, x)) < BOUND


@pytest.mark.parametrize(
    ("network", "fields"),
    [
        ("resnet50", {}),
        ("resnet50_v2", {}),
        ("plain18", {}),
        ("resnet18", {"shortcut": "C"}),
        ("resnet18", {"stem_pool": "ceil"}),
        ("resnet18", {"padding": "same"}),
        ("resnet18", {"stride_block": "last"}),
        ("resnet20", {}),
        ("resnet18_v1_5", {"repeats": (1, 1, 1)}),
        ("resnet18_v1_5", {"stem": ((7, 64, 1),)}),
        ("resnet18_v1_5", {"stem": ((5, 64, 2),)}),
        ("resnet18_d", {"stem": ((3, 32, 1), (3, 32, 2), (3, 64, 1))}),
        ("resnet18_d", {"stem": ((3, 32, 2), (3, 64, 1))}),
    ],
    ids=str,
)
def test_what_they_do_not_compute_is_not_written(network: str, fields, tmp_path) -> None:
    file = tmp_path / "a.safetensors"
    with pytest.raises(ValueError, match=r"torchvision and timm have .*stride_on='3x3'"):
        weights.save(resnet(network, **fields), file, as_="torchvision")
    assert list(tmp_path.iterdir()) == []


def test_their_names_are_written_as_safetensors_alone(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"end in \.safetensors, got .*a\.pth"):
        weights.save(resnet("resnet18"), tmp_path / "a.pth", as_="torchvision")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("network", ["resnet50", "resnet50_d", "resnet50_v2", "plain50"])
def test_torchvision_weights_fit_only_v1_5(network: str, tmp_path) -> None:
    file = torch_nets.save(torch_nets.build("torchvision.resnet50"), tmp_path / "a.pth")
    words = {
        "resnet50": "stride_on='3x3' in the file, not 'first'",
        "resnet50_d": "shortcut='B' in the file, not 'D'",
        "resnet50_v2": "preact=False in the file, not True",
        "plain50": "shortcut='B' in the file, not None",
    }
    with pytest.raises(ValueError, match=words[network]) as caught:
        resnet(network, weights=file)
    assert "resnet.from_weights" in str(caught.value)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("network", ["resnetblur18", "resnetaa34d", "resnet50_gn", "resnetrs50"])
def test_networks_that_only_look_alike_are_refused(network: str, suffix: str, tmp_path) -> None:
    """Blurred pooling has no weights: what tells is the description that the hub keeps beside."""
    file = torch_nets.save(torch_nets.build(f"timm.{network}"), tmp_path / f"model{suffix}")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": network}))
    with pytest.raises(ValueError, match=r"model\..* cannot be read"):
        load(file)


@pytest.mark.parametrize("network", ["torchvision.resnet18", "timm.resnet50d"])
def test_variances_as_small_as_epsilon(network: str, tmp_path) -> None:
    """Where variances are near 1, another epsilon would hide in the rounding."""
    net = torch_nets.build(network)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                variance = 10 ** torch.empty_like(module.weight).uniform_(-6, 0)
                module.running_var.copy_(variance)
                module.weight.mul_((variance + 1e-5).sqrt())
    model, x = load(torch_nets.save(net, tmp_path / "a.pth")), variants.images(1, *ODD, 3)
    assert error(model(x), torch_nets.logits(net, x)) < BOUND
