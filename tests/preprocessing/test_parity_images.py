"""How torchvision and timm prepare images, and what their files say of it."""

import json

import numpy as np
import pytest
import timm
import torchvision.models.resnet as torchvision
from PIL import Image

from keras_resnet import resnet
from keras_resnet.preprocessing import mode
from keras_resnet.weights.formats.containers import Container
from keras_resnet.weights.formats.tensors import Tensor
from keras_resnet.weights.infer.proof import prove
from keras_resnet.weights.sources.torchvision import SECOND, traits
from tests.support import torch_nets


def grey_levels(ours, theirs, std) -> np.ndarray:
    """Differences of scaled images; PIL rounds to whole levels after each of its two passes."""
    assert ours.shape == theirs.shape
    return np.abs(np.asarray(ours) - theirs) * np.float32(std) * 255


def photograph(height: int, width: int) -> Image.Image:
    """Something that is smooth at the scale of a pixel, as photographs are."""
    coarse = np.random.default_rng(0).integers(0, 256, (40, 52, 3)).astype("uint8")
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def test_timm_says_how_its_images_were_prepared(tmp_path) -> None:
    net = torch_nets.build("timm.resnet18")
    file = torch_nets.save(net, tmp_path / "model.safetensors")
    config = {**net.pretrained_cfg, "crop_pct": 0.95, "interpolation": "bicubic"}
    config |= {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4), "input_size": (3, 160, 160)}
    (tmp_path / "config.json").write_text(
        json.dumps({"architecture": "resnet18", "pretrained_cfg": config}, default=str)
    )
    image = photograph(400, 520)
    transform = timm.data.create_transform(**timm.data.resolve_data_config(pretrained_cfg=config))
    theirs = transform(image).numpy().transpose(1, 2, 0)
    scaled = resnet.from_weights(file).preprocessing(np.asarray(image))
    grey = grey_levels(scaled, theirs, config["std"])
    assert grey.max() < 2
    assert grey.mean() < 0.5


@pytest.mark.parametrize("network", ["resnet18", "resnet50", "resnet101", "wide_resnet101_2"])
def test_torchvision_weights_want_the_crop_they_were_measured_on(network, tmp_path, monkeypatch):
    """Its first and second weights differ in it, and only the hash in their names tells which."""
    words = {"wide_resnet101_2": "Wide_ResNet101_2"}.get(
        network, network.replace("resnet", "ResNet")
    )
    shapes = {"stem_conv1": (7, 7, 3, 64), "stage1_block1_conv1": (1, 1, 64, 64)}
    tensors = {f"{name}/kernel": Tensor(shape, lambda: None) for name, shape in shapes.items()}
    proof = prove(tensors, ("A", "B", "C", None))
    published = list(getattr(torchvision, f"{words}_Weights"))
    for member in published:
        prefix = member.url.rpartition("-")[2].partition(".")[0]
        told = member.transforms.keywords
        assert (prefix in SECOND) == (member.name == "IMAGENET1K_V2")
        monkeypatch.setattr(Container, "sha256", prefix + "0" * 56)
        scaling = traits(Container(tmp_path, {}), proof).preprocessing
        assert scaling.image_size == told["crop_size"] == 224
        assert int(224 / scaling.crop) == told.get("resize_size", 256)


@pytest.mark.parametrize("version", ["IMAGENET1K_V1", "IMAGENET1K_V2"])
@pytest.mark.parametrize("size", [(400, 520), (333, 250), (200, 231)], ids=str)
def test_images_are_prepared_as_torchvision_does(version: str, size) -> None:
    transform, image = torchvision.ResNet50_Weights[version].transforms(), photograph(*size)
    theirs = transform(image).numpy().transpose(1, 2, 0)
    ours = mode("torch", crop=224 / transform.resize_size[0])(np.asarray(image))
    grey = grey_levels(ours, theirs, transform.std)
    assert grey.max() < 2
    assert grey.mean() < 0.5


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"input_size": "x"}, ["input_size", "'x'"]),
        ({"input_size": [3, 224, 256]}, ["input_size", "256"]),
        ({"crop_pct": 0}, ["crop", "0"]),
        ({"crop_pct": "0.9"}, ["crop", "'0.9'"]),
        ({"mean": "abc"}, ["cannot be read"]),
        ({"std": [1, None, 2]}, ["cannot be read"]),
        ({"interpolation": "lanczos"}, ["interpolation", "bicubic", "lanczos"]),
        ({"crop_mode": "squash"}, ["crop_mode", "squash"]),
    ],
    ids=str,
)
def test_descriptions_that_make_no_sense_are_refused(config, words, tmp_path) -> None:
    file = torch_nets.save(torch_nets.build("timm.resnet18"), tmp_path / "model.safetensors")
    told = {"architecture": "resnet18", "pretrained_cfg": config}
    (tmp_path / "config.json").write_text(json.dumps(told))
    with pytest.raises(ValueError, match=r"model\.safetensors cannot be read") as caught:
        resnet.from_weights(file)
    assert [word for word in words if word not in str(caught.value)] == []


def test_other_descriptions_are_not_believed(tmp_path) -> None:
    file = torch_nets.save(torch_nets.build("timm.resnet18"), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    assert resnet.from_weights(file).manifest.source["name"] == "torchvision"


def test_timm_may_name_the_classes(tmp_path) -> None:
    net = torch_nets.build("timm.resnet18", num_classes=3)
    file = torch_nets.save(net, tmp_path / "model.safetensors")
    told = {"architecture": "resnet18", "label_names": ["ant", "bee", "cat"]}
    (tmp_path / "config.json").write_text(json.dumps(told))
    assert resnet.from_weights(file).manifest.labels == ("ant", "bee", "cat")
