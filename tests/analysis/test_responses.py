"""Figure 7 of the paper: values of hooks in PyTorch, and the order that the paper shows."""

import keras
import numpy as np
import pytest
import torch
import torchvision.models.resnet as torchvision

import keras_resnet
from keras_resnet.analysis import responses
from keras_resnet.analysis.layer_responses import _Moments
from keras_resnet.rewrite.fold import fold
from keras_resnet.rewrite.int8 import quantized
from tests.support import exporting, foreign, torch_cifar, torch_nets
from tests.support.cifar10_images import read


def theirs(net: torch.nn.Module, images: np.ndarray) -> dict[str, float]:
    """Deviations of what the normalizations after 3x3 convolutions give, before all else."""
    found = {}
    modules = dict(net.named_modules())
    for name, module in modules.items():
        if isinstance(module, torch.nn.Conv2d) and module.kernel_size == (3, 3):
            norm = modules[name.replace("conv", "bn")]

            def see(_module, _inputs, output, name=name) -> None:
                found[torch_cifar.ours(name)] = output.double().std(correction=0).item()

            norm.register_forward_hook(see)
    torch_nets.logits(net, images)
    return found


@pytest.mark.parametrize("shortcut", ["after", None])
def test_responses_are_those_of_hooks_in_torch(shortcut) -> None:
    network = "resnet20" if shortcut else "plain20"
    model, _ = exporting.network(network, repeats=[2, 2, 2])
    net = torch_cifar.Network(2, shortcut, 7).filled(foreign.state(model))
    images = np.random.default_rng(0).normal(size=(10, 32, 32, 3)).astype("float32")
    expected = theirs(net, images)
    found = responses(model, images, batch_size=4)
    assert list(found) == list(expected)  # in the order of computation
    assert list(found.values()) == pytest.approx(list(expected.values()), rel=1e-4)


def test_a_bottleneck_has_one_3x3_layer() -> None:
    model, _ = exporting.network("resnet50_v1_5", repeats=[1, 1, 1, 1])
    net = torchvision.ResNet(torchvision.Bottleneck, [1, 1, 1, 1], num_classes=7).eval()
    state = {name: torch.as_tensor(value) for name, value in foreign.state(model).items()}
    net.load_state_dict(state, strict=False)
    images = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype("float32")
    found = responses(model, images)
    assert len(found) == 4
    assert found == pytest.approx(theirs(net, images), rel=1e-4)


@pytest.fixture(scope="module")
def images(data_dir) -> np.ndarray:
    return read(data_dir, "test")[0][:64]


def test_trained_weights_give_the_values_of_torch_and_the_order_of_the_paper(
    images, data_dir
) -> None:
    folder = data_dir / "weights" / "akamaster"
    means = {}
    for name, repeats in {"resnet20-12fca82f.th": 3, "resnet56-4bfd9763.th": 9}.items():
        model = keras_resnet.from_weights(folder / name)
        x = np.asarray(model.preprocessing(images))
        found = responses(model, x, batch_size=64)
        expected = theirs(torch_cifar.akamaster(folder / name, repeats), x)
        assert found == pytest.approx(expected, rel=1e-3)
        means[repeats] = np.mean(list(found.values()))
    assert means[9] < 0.8 * means[3]  # deeper networks respond less


def test_residual_networks_respond_less_than_plain_ones(images, data_dir) -> None:
    means = []
    for name, shortcut in (("resnet56", "A"), ("plainnet56", None)):
        file = data_dir / "weights" / "a-martyn" / f"{name}.pt"
        model = keras_resnet.from_weights(file, shortcut=shortcut)
        x = model.preprocessing(images)
        means.append(np.mean(list(responses(model, x, batch_size=64).values())))
    assert means[0] < 0.8 * means[1]


@pytest.mark.parametrize("rewrite", [fold, quantized])
def test_rewritten_networks_respond_alike(rewrite) -> None:
    """Their convolutions include the normalization, whose output is measured."""
    model, _ = exporting.network("resnet20")
    images = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype("float32")
    other = rewrite(model)
    if rewrite is quantized:
        other(images, training=True)  # sets the ranges
    near = 1e-4 if rewrite is fold else 0.05
    assert responses(other, images) == pytest.approx(responses(model, images), rel=near)


def test_the_end_of_a_branch_with_preactivation_has_no_normalization_of_its_own() -> None:
    model, _ = exporting.network("resnet20_v2")
    images = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype("float32")
    found = responses(model, images)
    for name, layer in {
        "stage1_block2_conv1": "stage1_block2_conv1_bn",
        "stage1_block2_conv2": "stage1_block2_conv2",
    }.items():
        outputs = keras.Model(model.input, model.get_layer(layer).output)(images)
        assert found[name] == pytest.approx(float(np.std(outputs)), rel=1e-4)


def test_moments_of_parts_are_those_of_the_whole() -> None:
    values = np.random.default_rng(0).normal(1000, 0.5, 900).astype("float32")
    moments = _Moments()
    for part in np.split(values, [100, 101, 600]):
        moments.add(part)
    assert moments.deviation == pytest.approx(values.astype("float64").std(), rel=1e-4)


def test_what_makes_no_sense_is_refused() -> None:
    model, _ = exporting.network("resnet20", repeats=[1])
    for shape in ((0, 32, 32, 3), (2, 16, 32, 3), (32, 32, 3)):
        with pytest.raises(ValueError, match=r"images for resnet20 must be \[batch, 32, 32, 3\]"):
            responses(model, np.zeros(shape, "float32"))
    with pytest.raises(ValueError, match="batch_size must hold positive integers, got"):
        responses(model, exporting.pixels(2), batch_size=0)
    image = keras.Input((8, 8, 3))
    fused = keras.Model(image, keras.layers.Conv2D(4, 3, activation="relu", name="mine")(image))
    with pytest.raises(ValueError, match="before the activation, and mine includes its own"):
        responses(fused, np.zeros((1, 8, 8, 3)))
    other = keras.Model(image, keras.layers.Conv2D(4, 1)(image), name="other")
    with pytest.raises(ValueError, match="other has no 3x3 convolutions"):
        responses(other, np.zeros((1, 8, 8, 3)))
