"""What a protocol sees of an image, and its scores: against NumPy, PyTorch and torchvision."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from PIL import Image
from torchvision.transforms import functional, v2

import keras_resnet
from keras_resnet.preprocessing import Preprocessing, mode
from tests.support import helpers, torch_nets
from train.datasets import load
from train.datasets.decoding import Broken
from train.datasets.examples import Examples, arrays
from train.measure import views
from train.measure.measurement import Measurement
from train.measure.networks import Member
from train.tasks.protocols import MULTI_SCALE, ONE_CROP, SCALES, TEN_CROP, Protocol

SIZE = 64
TORCH = mode("torch", image_size=SIZE, crop=SIZE / 73)
SIDES = (64, 80, 100)
PHOTOGRAPHS = 12
CLASSES = tuple("abcdefg")


def softmax(logits) -> np.ndarray:
    logits = np.asarray(logits, np.float64)
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True)


@pytest.fixture(scope="module")
def photographs(data_dir) -> list[np.ndarray]:
    """Photographs of ImageNet, among them upright and square ones."""
    files = sorted((data_dir / "imagenet_mini" / "images").glob("*.JPEG"))[:PHOTOGRAPHS]
    images = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    assert len({image.shape[0] < image.shape[1] for image in images}) == 2
    return images


@pytest.fixture(scope="module")
def files(data_dir, tmp_path_factory) -> Examples:
    """The same photographs as files of a folder, in the same order, of two of seven classes."""
    root = tmp_path_factory.mktemp("photographs")
    found = sorted((data_dir / "imagenet_mini" / "images").glob("*.JPEG"))[:PHOTOGRAPHS]
    for i, file in enumerate(found):
        place = root / "test" / "ab"[i * 2 // PHOTOGRAPHS]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{i:02d}.jpg").symlink_to(file)
    return replace(load("folder", "test", str(root)), labels=CLASSES)


@pytest.fixture(scope="module")
def nets(tmp_path_factory) -> tuple[torch.nn.Module, keras.Model]:
    """One network in PyTorch and in Keras, for images of any size."""
    net = torch_nets.build("torchvision.resnet18", num_classes=7)
    file = torch_nets.save(net, tmp_path_factory.mktemp("nets") / "a.pth")
    ours = keras_resnet.from_weights(
        file, source="torchvision", preprocessing="torch", classifier_activation=None
    )
    return net, ours


def measured(examples: Examples, model, preprocess: Preprocessing, protocol: Protocol, **changes):
    """Returns the probabilities of all examples."""
    members = changes.pop("members", [Member(model, preprocess)])
    measurement = Measurement(
        members, examples, protocol, batch_size=changes.pop("batch_size", 40), broken=Broken()
    )
    parts = [measurement.measure(first, lambda _: None) for first in measurement.parts]
    assert all(part.counts.all() for part in parts)
    return np.exp(np.concatenate([part.scores for part in parts]).astype(np.float64))


def their_crops(image: np.ndarray) -> torch.Tensor:
    """torchvision's, of an image of floats, which is not rounded on the way."""
    pixels = torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32))
    scaled = functional.resize(pixels, [73], antialias=True)
    return torch.stack(v2.TenCrop(SIZE)(scaled))


def test_ten_crops_are_those_of_torchvision(photographs):
    for image in photographs:
        found = np.asarray(views.five_crops(TORCH)(None).finish(tf.constant(image)))
        assert found.shape == (5, SIZE, SIZE, 3)
        theirs = their_crops(image).numpy().transpose(0, 2, 3, 1)
        # Of the mirror image the left corners are the right ones, mirrored.
        mirrored = theirs[[6, 5, 8, 7, 9], :, ::-1]
        off = [np.abs(found - theirs[:5]), np.abs(found[:4] - mirrored[:4])]
        # Theirs is the centre of the mirror image, a pixel off the mirrored one if margins are odd.
        margin = 73 * image.shape[1] // min(image.shape[:2]) - SIZE
        shift = 2 * round(margin / 2) - margin
        centre = np.roll(mirrored[4], -shift, 1)
        off.append(np.abs(found[4] - centre)[:, 1:-1])
        assert max(x.max() for x in off) < 0.5, image.shape  # levels of 255
        assert max(x.mean() for x in off) < 0.01
        one = np.asarray(TORCH.resize(image))
        np.testing.assert_allclose(found[4], one, atol=0.02)  # the last one is the central crop


def test_ten_crop_scores_are_those_of_numpy(files, photographs, nets):
    _, model = nets
    expected = []
    for image in photographs:
        scaled = np.asarray(TORCH.scaled(image))
        (bottom, right), half = np.array(scaled.shape[:2]) - SIZE, np.round
        corners = [(0, 0), (0, right), (bottom, 0), (bottom, right)]
        corners.append((int(half(bottom / 2)), int(half(right / 2))))
        crops = [scaled[y : y + SIZE, x : x + SIZE] for y, x in corners]
        crops = np.stack(crops + [crop[:, ::-1] for crop in crops])
        expected.append(softmax(model(TORCH.normalize(crops))).mean(0))
    found = measured(files, model, TORCH, Protocol(TEN_CROP))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_ten_crop_scores_are_those_of_torch(files, photographs, nets):
    """From the photograph to the average: nothing of it is ours but what is compared."""
    net, model = nets
    found = measured(files, model, TORCH, Protocol(TEN_CROP))
    mean, std = ([[[[x]] for x in values]] for values in (TORCH.mean, TORCH.std))
    for image, ours in zip(photographs, found, strict=True):
        with torch.no_grad():
            five = (their_crops(image)[:5] - torch.tensor(mean)) / torch.tensor(std)
            theirs = net(torch.cat([five, five.flip(-1)])).softmax(1).mean(0).numpy()
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def windows(net: torch.nn.Module, image: np.ndarray, preprocess: Preprocessing) -> np.ndarray:
    """Scores of one image in fully convolutional form, [positions, classes], by PyTorch.

    The pooling moves over the feature map, and the classifier is a 1x1 convolution.
    """
    pixels = np.asarray(preprocess.normalize(image), np.float32)[np.newaxis]
    body = torch.nn.Sequential(*list(net.children())[:-2])
    side = SIZE // 32
    with torch.no_grad():
        features = torch.nn.functional.avg_pool2d(body(torch_nets.nchw(pixels)), side, stride=1)
        kernel = net.fc.weight[:, :, None, None]
        grid = torch.nn.functional.conv2d(features, kernel, net.fc.bias).softmax(1)
    return grid.numpy()[0].reshape(grid.shape[1], -1).T


def test_dense_scores_are_those_of_torch(files, photographs, nets):
    net, model = nets
    expected = []
    for image in photographs:
        scales = []
        for side in SIDES:
            height, width = image.shape[:2]
            size = [side * height // min(height, width), side * width // min(height, width)]
            pixels = torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32))
            scaled = functional.resize(pixels, size, antialias=True).numpy().transpose(1, 2, 0)
            both = [windows(net, view, TORCH) for view in (scaled, scaled[:, ::-1])]
            scales.append(np.mean(both, (0, 1)))
        expected.append(np.mean(scales, 0))
    protocol = Protocol(MULTI_SCALE, SIDES)
    found = measured(files, model, TORCH, protocol)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_dense_scores_are_those_of_numpy(files, photographs, nets):
    """Windows of the feature map, the classifier and the averages in NumPy."""
    _, model = nets
    body = keras.Model(model.input, model.get_layer("pool").input)
    kernel, bias = (np.float64(x) for x in model.get_layer("logits").get_weights())
    expected = []
    for image in photographs:
        scales = []
        for side in SIDES:
            scaled = np.asarray(Preprocessing(image_size=side, crop=1.0).scaled(image))
            both = np.stack([scaled, scaled[:, ::-1]])
            features = np.asarray(body(TORCH.normalize(both)), np.float64)
            grid = np.lib.stride_tricks.sliding_window_view(features, (2, 2), (1, 2)).mean((-1, -2))
            scales.append(softmax(grid @ kernel + bias).mean((0, 1, 2)))
        expected.append(np.mean(scales, 0))
    protocol = Protocol(MULTI_SCALE, SIDES)
    found = measured(files, model, TORCH, protocol)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    # The mean of the whole map is something else, and would be seen.
    whole = [softmax(model(TORCH.normalize(np.asarray(x)[np.newaxis])))[0] for x in (scaled,)]
    assert np.abs(whole[0] - scales[-1]).max() > 1e-4


def test_an_image_of_the_networks_size_has_one_position(nets):
    _, model = nets
    pixels = helpers.noise(6, SIZE, SIZE, 3)
    examples = arrays(pixels, [0] * 6, CLASSES)
    found = measured(examples, model, TORCH, Protocol(MULTI_SCALE, (SIZE,)))
    both = [softmax(model(TORCH.normalize(x))) for x in (pixels, pixels[:, :, ::-1])]
    np.testing.assert_allclose(found, np.mean(both, 0), atol=1e-6)


def test_images_of_one_size_go_through_together(nets):
    """Whatever the batch: groups of equal images, and what is left at the end of a part."""
    _, model = nets
    pixels = helpers.noise(7, SIZE, 90, 3)
    examples = arrays(pixels, [0] * 7, CLASSES)
    protocol = Protocol(MULTI_SCALE, (SIZE,))
    one = measured(examples, model, TORCH, protocol, batch_size=1)
    np.testing.assert_allclose(
        measured(examples, model, TORCH, protocol, batch_size=10), one, atol=1e-6
    )


@pytest.mark.parametrize("protocol", [ONE_CROP, TEN_CROP])
def test_images_in_memory_are_seen_as_files_are(nets, protocol):
    _, model = nets
    pixels = helpers.noise(9, 80, 90, 3)
    examples = arrays(pixels, [0] * 9, CLASSES)
    gathered = measured(examples, model, TORCH, Protocol(protocol), batch_size=30)
    one_by_one = replace(examples, gather=None)
    found = measured(one_by_one, model, TORCH, Protocol(protocol), batch_size=40)
    np.testing.assert_allclose(gathered, found, atol=1e-6)


def test_parts_are_joined(nets, monkeypatch):
    _, model = nets
    monkeypatch.setattr("train.measure.measurement.PART", dict.fromkeys((ONE_CROP, TEN_CROP), 4))
    pixels = helpers.noise(10, SIZE, SIZE, 3)
    examples = arrays(pixels, [i % 7 for i in range(10)], CLASSES)
    measurement = Measurement(
        [Member(model, TORCH)], examples, Protocol(), batch_size=3, broken=Broken()
    )
    assert list(measurement.parts) == [0, 4, 8]
    parts = [measurement.measure(first, lambda _: None) for first in (8, 0, 4)]  # in any order
    assert [part.labels.tolist() for part in parts] == [[1, 2], [0, 1, 2, 3], [4, 5, 6, 0]]
    found = np.exp(np.concatenate([parts[1].scores, parts[2].scores, parts[0].scores]))
    whole = softmax(model(TORCH.normalize(TORCH.resize(pixels))))
    np.testing.assert_allclose(found, whole, atol=1e-6)


def test_only_some_classes_are_a_network_without_the_others(nets):
    _, model = nets
    pixels = helpers.noise(4, SIZE, SIZE, 3)
    examples = arrays(pixels, [0, 1, 2, 0], ("f", "a", "c"))
    members = [Member(model, TORCH, (5, 0, 2))]
    found = measured(examples, model, TORCH, Protocol(), members=members)
    logits = np.asarray(model(TORCH.normalize(TORCH.resize(pixels))))
    np.testing.assert_allclose(found, softmax(logits[:, [5, 0, 2]]), atol=1e-6)


def test_an_ensemble_averages_probabilities(nets):
    """Of networks that want other pixels, and have their classes in another order."""
    _, model = nets
    pixels = helpers.noise(5, 70, 80, 3)
    examples = arrays(pixels, [0] * 5, CLASSES)
    other = helpers.randomize(
        keras_resnet.resnet(
            "resnet20", repeats=(1, 1, 1), classes=7, classifier_activation=None, shortcut="B"
        )
    )
    small = mode("tf", image_size=32, crop=0.8)
    order = (6, 5, 4, 3, 2, 1, 0)
    members = [Member(model, TORCH), Member(other, small, order)]
    found = measured(examples, model, TORCH, Protocol(), members=members)
    first = softmax(model(TORCH.normalize(TORCH.resize(pixels))))
    second = softmax(other(small.normalize(small.resize(pixels))))[:, ::-1]
    np.testing.assert_allclose(found, (first + second) / 2, atol=1e-6)


def test_logits_that_are_not_numbers_stay_so(nets):
    """As one network of two computes them: the report counts them as wrong."""
    _, model = nets
    pixels = helpers.noise(3, SIZE, SIZE, 3)
    examples = arrays(pixels, [0] * 3, CLASSES)
    odd = keras_resnet.resnet("resnet8", classes=7, classifier_activation=None)
    odd.get_layer("logits").bias.assign([np.nan] * 7)
    plain = Preprocessing(image_size=SIZE, crop=1.0)
    members = [Member(model, TORCH), Member(odd, plain)]
    assert np.isnan(measured(examples, model, TORCH, Protocol(), members=members)).all()


def test_protocols_are_refused_where_they_mean_nothing(nets):
    _, model = nets
    examples = arrays(helpers.noise(2, SIZE, SIZE, 3), [0, 1], CLASSES)
    mean = Preprocessing(mean=np.zeros((SIZE, SIZE, 3)), image_size=SIZE, crop=0.5)
    cases = [
        (Preprocessing(image_size=SIZE, crop=1.0), Protocol(TEN_CROP), "crop=1.*--crop=0.875"),
        (mean, Protocol(MULTI_SCALE, (SIZE,)), "mean image of 64x64 pixels"),
        (TORCH, Protocol(MULTI_SCALE, (63, 100)), "at least the 64 pixels .* got 63"),
        (TORCH, Protocol(MULTI_SCALE), "of 224 pixels, those of this network have 64"),
    ]
    for preprocess, protocol, told in cases:
        with pytest.raises(ValueError, match=told):
            measured(examples, model, preprocess, protocol)


def test_protocols_have_names_and_scales():
    assert Protocol(MULTI_SCALE).scales == SCALES == (224, 256, 384, 480, 640)
    assert str(Protocol(MULTI_SCALE, (256, 320))) == "multi_scale at 256,320 pixels"
    for arguments, told in {
        ("11_crop",): "one_crop.*11_crop",
        (TEN_CROP, (224,)): "scales=224 needs protocol=multi_scale",
        (MULTI_SCALE, (224, 224)): "different numbers .* got 224,224",
        (MULTI_SCALE, (0, 224)): "above 0, got 0,224",
    }.items():
        with pytest.raises(ValueError, match=told):
            Protocol(*arguments)
