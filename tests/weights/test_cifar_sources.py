"""CIFAR weights of others at depths that are not at hand: their names, written out here again."""

from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import torch

from keras_resnet import resnet
from keras_resnet.weights import SOURCES
from tests.support import variants
from tests.support.keras_nets import blocks, stock

NORM = ("weight", "bias", "running_mean", "running_var")
KERAS_NORM = ("gamma", "beta", "moving_mean", "moving_variance")
DEPTHS = {8: 1, 32: 5, 44: 7, 110: 18}  # 6n+2
depths = pytest.mark.parametrize(
    "depth", [pytest.param(x, marks=pytest.mark.slow) if x > 100 else x for x in DEPTHS]
)


def network(depth: int, **fields) -> keras.Model:
    model = resnet(f"resnet{depth}", input_shape=(32, 32, 3), classifier_activation=None, **fields)
    variants.randomize(model)
    return model


def torch_file(file: Path, model: keras.Model, names: dict[str, str], **around) -> None:
    """Saves layers under the names of a Torch module."""
    state = {}
    for ours, theirs in names.items():
        values = model.get_layer(ours).get_weights()
        if ours.endswith("_bn"):
            parts = zip(NORM, values, strict=True)
        else:
            axes = (3, 2, 0, 1) if values[0].ndim == 4 else (1, 0)
            parts = zip(("weight", "bias"), [values[0].transpose(axes), *values[1:]], strict=False)
        state |= {f"{theirs}.{part}": torch.tensor(value.copy()) for part, value in parts}
    torch.save({**around, "state_dict": state} if around else state, file)


def akamaster(n: int, projections: bool = False) -> dict[str, str]:
    """resnet.py of akamaster/pytorch_resnet_cifar10, saved from a DataParallel."""
    names = {"stem_conv1": "conv1", "stem_conv1_bn": "bn1", "logits": "linear"}
    for stage, block, ours in blocks(n):
        place = f"layer{stage}.{block - 1}"
        for i in (1, 2):
            names |= {f"{ours}_conv{i}": f"{place}.conv{i}", f"{ours}_conv{i}_bn": f"{place}.bn{i}"}
        if projections and stage > 1 and block == 1:
            names[f"{ours}_shortcut_conv"] = f"{place}.shortcut.0"
            names[f"{ours}_shortcut_conv_bn"] = f"{place}.shortcut.1"
    return {ours: f"module.{theirs}" for ours, theirs in names.items()}


def a_martyn(n: int) -> dict[str, str]:
    """model/resnet.py of a-martyn/resnet: the block that strides is a stack of its own."""
    names = {"stem_conv1": "convIn", "stem_conv1_bn": "bnIn", "logits": "fcOut"}
    for stage, block, ours in blocks(n):
        later = f"stack{stage}a" if block == 1 else f"stack{stage}b.{block - 2}"
        place = f"stack1.{block - 1}" if stage == 1 else later
        for i in (1, 2):
            names |= {f"{ours}_conv{i}": f"{place}.conv{i}", f"{ours}_conv{i}_bn": f"{place}.bn{i}"}
    return names


def check(file: Path, model: keras.Model, source: str, **fields) -> None:
    loaded = resnet.from_weights(file, classifier_activation=None, **fields)
    assert loaded.manifest.source["name"] == source
    assert (loaded.name, loaded.manifest.image_shape) == (model.name, (32, 32, 3))
    x = variants.images(2, 32, 32, 3)
    expected = np.asarray(model(x))
    np.testing.assert_allclose(loaded(x), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@depths
@pytest.mark.parametrize("option", "AB")
def test_akamaster(depth: int, option: str, tmp_path) -> None:
    fields = {"shortcut": option, "zero_channels": "around"}
    model = network(depth, **fields)
    names = akamaster(DEPTHS[depth], option == "B")
    torch_file(tmp_path / "a.th", model, names, best_prec1=91.0)
    check(tmp_path / "a.th", model, "akamaster")


@depths
@pytest.mark.parametrize("shortcut", ["A", None])
def test_a_martyn(depth: int, shortcut: str | None, tmp_path) -> None:
    model = network(depth, shortcut=shortcut)
    torch_file(tmp_path / "a.pt", model, a_martyn(DEPTHS[depth]))
    check(tmp_path / "a.pt", model, "a_martyn", shortcut=shortcut)


def variables(model: keras.Model, layer: str) -> dict[str, np.ndarray]:
    return {weight.name: np.array(weight) for weight in model.get_layer(layer).weights}


def logits_agree(file: Path, model: keras.Model, source: str, depth: int) -> None:
    loaded = resnet(
        f"resnet{depth}", shortcut="B", padding="same", weights=file, classifier_activation=None
    )
    assert loaded.manifest.source["name"] == source
    x = variants.images(2, 32, 32, 3)
    expected = np.asarray(model(x))
    np.testing.assert_allclose(loaded(x), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("depth", [8, 20, 32])
def test_robinc94(depth: int, tmp_path) -> None:
    model, order = stock(depth // 6)
    arrays = {}
    for kind in ("conv", "bn", "shortcut"):
        for i, layer in enumerate(order[kind], 1):
            arrays |= {f"{kind}{i}/{k}": value for k, value in variables(model, layer).items()}
    arrays |= {f"dense/{name}": value for name, value in variables(model, "d").items()}
    np.savez(tmp_path / "a.npz", **arrays)
    logits_agree(tmp_path / "a.npz", model, "robinc94", depth)


@pytest.mark.parametrize("first", [0, 7], ids=["fresh", "after other models"])
@pytest.mark.parametrize("depth", [8, 20])
def test_mlcommons_tiny(depth: int, first: int, tmp_path) -> None:
    """Keras 2 numbered the layers of a process, whatever model they were of."""
    model, order = stock(depth // 6)
    numbered = {"conv2d": order["all"], "batch_normalization": order["bn"], "dense": ["d"]}
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for kind, layers in numbered.items():
            for i, layer in enumerate(layers, first):
                name = f"{kind}_{i}" if i else kind
                for variable, value in variables(model, layer).items():
                    file[f"model_weights/{name}/{name}/{variable}:0"] = value
    logits_agree(tmp_path / "a.h5", model, "mlcommons_tiny", depth)


def test_keras_norms_are_as_this_file_says() -> None:
    model, order = stock(1)
    assert tuple(variables(model, order["bn"][0])) == KERAS_NORM
    assert model.get_layer("n").epsilon == SOURCES["robinc94"].epsilon == 1e-3
