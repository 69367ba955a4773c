"""Weights in networks that differ where they may: classes, channels, the end of the graph."""

import numpy as np
import pytest
import torch
from timm.models._manipulate import adapt_input_conv

from keras_resnet import resnet, weights
from keras_resnet.weights.filling import with_channels
from tests.support import variants


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A file as torchvision writes them, of a network that is narrow and shallow."""
    model = resnet("resnet18_v1_5", repeats=(1, 1, 1, 1), classes=10)
    variants.randomize(model)
    place = tmp_path_factory.mktemp("weights") / "a.safetensors"
    weights.save(model, place, as_="torchvision")
    return place


def load(file, **arguments):
    return resnet.from_weights(file, classifier_activation=None, **arguments)


@pytest.mark.parametrize("channels", [1, 2, 4, 6, 7])
def test_a_stem_fits_other_channels_as_in_timm(channels: int) -> None:
    kernel = np.random.default_rng(0).normal(size=(7, 7, 3, 8)).astype("float32")
    theirs = adapt_input_conv(channels, torch.tensor(kernel.transpose(3, 2, 0, 1).copy()))
    np.testing.assert_allclose(
        with_channels(kernel, channels), theirs.numpy().transpose(2, 3, 1, 0), atol=1e-6
    )


@pytest.mark.parametrize("channels", [1, 6])
def test_grey_images_give_what_they_gave_as_rgb(channels: int, file, caplog) -> None:
    grey = variants.images(2, 48, 48, 1)
    rgb = load(file)
    other = load(file, input_shape=(None, None, channels))
    assert f"adapted to images of {channels} channels" in caplog.text
    x = np.repeat(grey, channels, -1)
    np.testing.assert_allclose(other(x), rgb(np.repeat(grey, 3, -1)), rtol=1e-4, atol=1e-5)
    assert other.manifest.image_shape == (224, 224, channels)
    mean = np.mean([0.485, 0.456, 0.406]) * 255
    assert other.preprocessing.mean == pytest.approx(mean)
    assert other.preprocessing(np.zeros((300, 240, channels), np.uint8)).shape[-1] == channels


def test_other_classes_leave_the_head_fresh_and_say_so(file, caplog) -> None:
    model = load(file, classes=5)
    assert (
        "a.safetensors: the number of classes differs; the classifier is not loaded" in caplog.text
    )
    assert model.output_shape == (None, 5)
    assert model.manifest.labels == tuple("01234")
    theirs = load(file)
    for one, other in zip(model.layers, theirs.layers, strict=True):
        same = map(np.array_equal, one.get_weights(), other.get_weights())
        assert all(same) == (one.name != "logits")


def test_the_end_of_the_graph_is_free(file) -> None:
    x = variants.images(1, 64, 64, 3)
    whole = load(file)
    pooled = load(file, include_top=False, pooling="avg")(x)
    classifier = whole.get_layer("logits")
    np.testing.assert_allclose(classifier(pooled), whole(x), atol=1e-5)
    pyramid = load(file, endpoints=True)(x)
    assert list(pyramid) == ["stem", "stage1", "stage2", "stage3", "stage4"]
    np.testing.assert_allclose(np.mean(pyramid["stage4"], (1, 2)), pooled, atol=1e-5)
    dilated = load(file, endpoints=True, output_stride=4)(x)
    np.testing.assert_allclose(dilated["stage2"][:, ::2, ::2], pyramid["stage2"], atol=1e-4)


@pytest.mark.parametrize(
    "fields", [{"stride_on": "first"}, {"shortcut": None}, {"repeats": (1, 1, 1, 2)}], ids=str
)
def test_fields_that_weights_depend_on_are_not(fields, file) -> None:
    [name] = fields
    if name == "stride_on":  # a basic block strides in its first convolution either way
        load(file, **fields)
        return
    with pytest.raises(ValueError, match=f"{name}="):
        load(file, **fields)


def test_weights_of_no_network_name_the_sources(tmp_path) -> None:
    np.savez(tmp_path / "a.npz", weight=np.zeros(3))
    with pytest.raises(ValueError, match=r"a\.npz.*'weight'.*not those of.*torchvision") as caught:
        resnet.from_weights(tmp_path / "a.npz")
    assert [source for source in weights.SOURCES if source not in str(caught.value)] == []
    with pytest.raises(ValueError, match=r"source must be one of .*akamaster.*got 'torch'"):
        resnet.from_weights(tmp_path / "a.npz", source="torch")
