"""The authors' Caffe models and Detectron's: their graphs in Torch and ours, from one file."""

import pickle
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_resnet import resnet
from tests.support import caffe_nets
from tests.support.caffe_nets import Net

BOUND = 1e-4
SIZES = [(64, 62), (97, 115)]  # the pooling gets 32, 31, 49 and 58 pixels
TINY, FIFTY = (1, 2, 3, 1), (3, 4, 6, 3)


def caffe_file(folder: Path, net: Net, **options) -> Path:
    file = folder / "ResNet-50-model.caffemodel"
    file.write_bytes(caffe_nets.caffemodel(net, **options))
    return file


def images(*size: int) -> np.ndarray:
    noise = np.random.default_rng(1).normal(size=(2, *size, 3))
    return np.float32(noise * [[[[1]]], [[[3]]]] + [[[[-1]]], [[[2]]]])


def fits(model, net: Net, sizes=SIZES, **options) -> None:
    for size in sizes:
        found, expected = model(images(*size)), caffe_nets.computed(net, images(*size), **options)
        assert found.shape == expected.shape
        assert np.ptp(expected, axis=0).max() > 0.1 * np.abs(expected).max()
        assert np.abs(found - expected).max() / np.abs(expected).max() < BOUND


def load(file: Path, **arguments) -> keras.Model:
    return resnet.from_weights(file, classifier_activation=None, **arguments)


@pytest.mark.parametrize("legacy", [False, True], ids=["shape", "legacy"])
@pytest.mark.parametrize("numbered", [(), (3, 4)], ids=["50", "101"])
def test_caffe_networks_have_their_logits(legacy: bool, numbered, tmp_path) -> None:
    """Of ResNet-50, whose blocks are a, b, c and conv1 has a bias, and of the deeper ones."""
    net = caffe_nets.build(TINY, width=8, classes=7, bias=not numbered)
    file = caffe_file(tmp_path, net, numbered=numbered, legacy=legacy)
    model = load(file)
    assert model.manifest.network == "resnet50"
    assert model.manifest.source["name"] == "caffe"
    assert model.spec.stem_pool == "ceil"
    fits(model, net, ceil=True)


def test_the_whole_caffe_resnet50_has_its_logits(tmp_path) -> None:
    net = caffe_nets.build(FIFTY, width=64, classes=1000)
    file = caffe_file(tmp_path, net)
    model = resnet("resnet50", stem_pool="ceil", weights=file, classifier_activation=None)
    fits(model, net, [(97, 115), (224, 224)], ceil=True)
    for network, fields, words in (
        ("resnet50", {}, "stem_pool='ceil' in the file, not 'symmetric'"),
        ("resnet50_v1_5", {"stem_pool": "ceil"}, "stride_on='first' in the file, not '3x3'"),
    ):
        with pytest.raises(ValueError, match=words):
            resnet(network, weights=file, **fields)


def test_caffe_sums_without_weight_count_as_zero(tmp_path) -> None:
    """As its BatchNorm layer computes: a scale factor of 0 makes mean and variance 0."""
    net = caffe_nets.build(TINY, width=8, classes=7)
    expected = {
        place: layer._replace(norm=(0 * layer.norm[0], 0 * layer.norm[1], *layer.norm[2:]))
        for place, layer in net.items()
        if layer.norm
    }
    file = caffe_file(tmp_path, net, factor=0)
    fits(load(file), {**net, **expected}, ceil=True)


def test_the_mean_image_beside_a_caffe_model_is_used(tmp_path) -> None:
    file = caffe_file(tmp_path, caffe_nets.build(TINY, width=8, classes=7))
    pixels = np.random.default_rng(2).integers(0, 256, (224, 224, 3)).astype("uint8")
    found = load(file).preprocessing.normalize(pixels)
    known = np.float32([103.939, 116.779, 123.68])
    np.testing.assert_allclose(found, pixels[..., ::-1] - known, atol=1e-4)
    mean = np.random.default_rng(3).uniform(90, 130, (3, 224, 224)).astype("float32")
    (tmp_path / "ResNet_mean.binaryproto").write_bytes(caffe_nets.blob(mean, legacy=True))
    found = load(file).preprocessing.normalize(pixels)
    np.testing.assert_allclose(found, pixels[..., ::-1] - mean.transpose(1, 2, 0), atol=1e-4)


@pytest.mark.parametrize("writer", ["python3", "python2", "bare"])
def test_detectron_networks_have_their_logits(writer: str, tmp_path) -> None:
    blobs, net = caffe_nets.detectron(caffe_nets.build(TINY, width=8, classes=7))
    blobs["conv1_w_momentum"] = blobs["conv1_w"] + 1
    content = {
        "python3": pickle.dumps({"blobs": blobs, "cfg": "MODEL:\n"}, protocol=2),
        "python2": caffe_nets.by_python2(blobs),
        "bare": pickle.dumps(blobs, protocol=2),
    }[writer]
    again = pickle.loads(content, encoding="latin1")
    np.testing.assert_equal(again.get("blobs", again), blobs)  # the opcodes are Python's
    (tmp_path / "R-50.pkl").write_bytes(content)
    model = load(tmp_path / "R-50.pkl")
    assert (model.manifest.network, model.spec.stem_pool) == ("resnet50", "symmetric")
    fits(model, net, ceil=False, epsilon=0.0)


def test_networks_of_detectron_stay_frozen(tmp_path) -> None:
    blobs, _ = caffe_nets.detectron(caffe_nets.build(TINY, width=8, classes=7))
    file = tmp_path / "R-50.pkl"
    file.write_bytes(pickle.dumps({"blobs": blobs}, protocol=2))
    model = load(file)
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert len(norms) == 1 + 4 + 3 * sum(TINY)  # stem, projections, branches
    assert not [layer.name for layer in norms if layer.trainable]
    x = images(97, 115)
    np.testing.assert_array_equal(model(x, training=True), model(x, training=False))
    pixels = np.random.default_rng(2).integers(0, 256, (9, 9, 3)).astype("uint8")
    expected = pixels[..., ::-1] - np.float32([103.53, 116.28, 123.675])
    np.testing.assert_allclose(model.preprocessing.normalize(pixels), expected, atol=1e-4)


@pytest.mark.slow
def test_the_whole_resnet50_of_detectron_has_its_logits(tmp_path) -> None:
    blobs, net = caffe_nets.detectron(caffe_nets.build(FIFTY, width=64, classes=1000))
    file = tmp_path / "R-50.pkl"
    file.write_bytes(pickle.dumps({"blobs": blobs}, protocol=2))
    model = resnet("resnet50", weights=file, classifier_activation=None)
    fits(model, net, [(97, 115), (224, 224)], ceil=False, epsilon=0.0)
    with pytest.raises(ValueError, match="stride_on='first' in the file, not '3x3'"):
        resnet("resnet50_v1_5", weights=file)
