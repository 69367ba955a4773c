"""Weights that others trained, on CIFAR-10's 10,000 test images: their logits, their accuracy."""

import json
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from keras_resnet import resnet, weights
from tests.support import helpers, keras_nets, predicting
from tests.support.cifar10_images import read
from tests.support.helpers import last_line


class Published(NamedTuple):
    """A file, what its maker says of it, and where an independent Torch computed its logits."""

    file: str
    network: str
    accuracy: float  # percent of the 10,000 test images
    fields: dict  # what the file does not tell, or tells against the default
    logits: str = ""

    def __str__(self) -> str:
        return self.file.replace("/", "-")


PUBLISHED = [
    Published("akamaster/resnet20-12fca82f.th", "resnet20", 91.73, {}, "resnet20"),
    Published("akamaster/resnet56-4bfd9763.th", "resnet56", 93.39, {}, "resnet56"),
    Published("a-martyn/plainnet20.pt", "plain20", 90.31, {"shortcut": None}, "plainnet20"),
    Published("a-martyn/plainnet56.pt", "plain56", 86.93, {"shortcut": None}, "plainnet56"),
    Published("a-martyn/resnet20.pt", "resnet20", 91.98, {"shortcut": "A"}, "resnet20"),
    Published("a-martyn/resnet56.pt", "resnet56", 92.55, {"shortcut": "A"}, "resnet56"),
    Published("robinc94/resnet20_keras_folded.npz", "resnet20", 90.88, {}),
    Published("mlcommons-tiny/pretrainedResnet.h5", "resnet8", 87.21, {}),
]
FEW = 500  # of the test images are enough to compare logits with
each = pytest.mark.parametrize(
    "published",
    [pytest.param(p, marks=pytest.mark.slow) if "56" in p.network else p for p in PUBLISHED],
    ids=str,
)


@pytest.fixture(scope="module")
def cifar(data_dir):
    return read(data_dir, "test")


class Answer(NamedTuple):
    """What a network says of images, what others computed of them; correct ones in percent."""

    found: np.ndarray
    expected: np.ndarray
    accuracy: float


def answer(published, data_dir, examples, mean=None) -> Answer:
    """Loads a file and asks its network for some test images; `mean` is for one that lacks it."""
    file = data_dir / "weights" / published.file
    model = resnet.from_weights(file, classifier_activation=None, **published.fields)
    assert model.name == model.manifest.network == published.network
    assert model.manifest.labels[:3] == ("airplane", "automobile", "bird")
    images, labels = examples
    scaling = model.preprocessing
    if scaling.mean is None:  # not in the file, and subtracted after x / 255
        with pytest.raises(ValueError, match="mean image of these weights is unknown"):
            scaling(images[:1])
        x = images / np.float32(255) - np.float32(mean / 255)
    else:
        x = scaling(images)
    logits = model.predict(x, batch_size=500, verbose=0)
    accuracy = 100 * np.mean(logits.argmax(1) == labels)
    if published.logits:
        every = np.load(file.with_name("reference_logits_cifar10_test.npz"))[published.logits]
        return Answer(logits, every[: len(images)], accuracy)
    if file.suffix == ".npz":
        theirs = keras_nets.stock_of(np.load(file), 3)
        return Answer(logits, theirs.predict(x, batch_size=500, verbose=0), accuracy)
    powers = np.exp(logits - logits.max(1, keepdims=True))
    expected = by_tflite(file.with_suffix(".tflite"), images.astype("float32"))
    return Answer(powers / powers.sum(1, keepdims=True), expected, accuracy)


def by_tflite(file: Path, images: np.ndarray) -> np.ndarray:
    """The probabilities that a makers' own TFLite file computes of images, 0..255."""
    interpreter = Interpreter(str(file))
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(taken["index"], images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(taken["index"], images)
    interpreter.invoke()
    return interpreter.get_tensor(given["index"])


@each
def test_some_images_are_seen_as_by_their_makers(published, cifar, data_dir) -> None:
    """By Torch, by Keras's own layers with the same weights, or by a TFLite file of the makers."""
    images, labels = (part[:FEW] for part in cifar)
    found = answer(published, data_dir, (images, labels), images.mean(0))
    np.testing.assert_allclose(found.found, found.expected, rtol=0, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("published", PUBLISHED, ids=str)
def test_accuracy_on_all_images_is_that_of_their_makers(published, cifar, data_dir) -> None:
    mean = read(data_dir, "train")[0].mean(0) if "robinc94" in published.file else None
    found = answer(published, data_dir, cifar, mean)
    assert found.accuracy == pytest.approx(published.accuracy, abs=1e-9)
    np.testing.assert_allclose(found.found, found.expected, rtol=0, atol=1e-3)


def test_a_plain_net_is_no_residual_net(cifar, data_dir) -> None:
    """The tensors of both are alike: only their maker can tell, and the accuracy."""
    file = data_dir / "weights" / "a-martyn" / "plainnet20.pt"
    with pytest.raises(
        ValueError, match=r"does not determine shortcut.*shortcut='A' or shortcut=None"
    ):
        resnet.from_weights(file)
    wrong = resnet("resnet20", weights=file)
    images, labels = (part[:500] for part in cifar)
    assert np.mean(np.argmax(wrong(wrong.preprocessing(images)), 1) == labels) < 0.5
    with pytest.raises(ValueError, match="shortcut"):
        resnet("resnet20", weights=file, shortcut="B")


@pytest.mark.parametrize(
    ("network", "fields", "words"),
    [
        ("resnet20", {}, ["zero_channels='around' in the file, not 'after'", "from_weights"]),
        (
            "resnet20",
            {"zero_channels": "around", "shortcut": "B"},
            ["shortcut='A' in the file, not 'B'"],
        ),
        ("resnet32", {"zero_channels": "around"}, ["repeats=(3, 3, 3) in the file, not (5, 5, 5)"]),
        ("resnet20_v2", {"zero_channels": "around"}, ["preact=False in the file, not True"]),
        ("resnet50", {}, ["branch=", "stem_pool=None in the file, not 'symmetric'"]),
    ],
    ids=str,
)
def test_weights_do_not_fit_other_networks(network, fields, words, data_dir) -> None:
    file = data_dir / "weights" / "akamaster" / "resnet20-12fca82f.th"
    with pytest.raises(ValueError, match=r"resnet20-12fca82f\.th contains weights of") as caught:
        resnet(network, weights=file, **fields)
    assert [word for word in words if word not in str(caught.value)] == []


def right(data_dir, labels: np.ndarray) -> float:
    """How many percent the ResNet-20 of akamaster gets right, by the logits of Torch."""
    file = data_dir / "weights" / "akamaster" / "reference_logits_cifar10_test.npz"
    logits = np.load(file)["resnet20"][: len(labels)]
    return 100 * np.mean(logits.argmax(1) == labels)


def test_the_command_line_measures_them(cifar, data_dir, tmp_path) -> None:
    """On the first images of the test split, as a data set of its own that has the same name."""
    import tensorflow_datasets as tfds

    names = ["airplane", "automobile", "bird", "cat", "deer"]
    names += ["dog", "frog", "horse", "ship", "truck"]
    features = {
        "id": tfds.features.Text(),
        "image": tfds.features.Image(shape=(32, 32, 3), encoding_format="png"),
        "label": tfds.features.ClassLabel(names=names),
    }
    images, labels = (part[:FEW] for part in cifar)
    pairs = zip(images, labels, strict=True)
    rows = [{"id": f"{i:05d}", "image": x, "label": int(y)} for i, (x, y) in enumerate(pairs)]
    splits = {"train": rows[:3], "test": rows}
    helpers.write_tfds(tmp_path, "cifar10", features, splits, version="3.0.2")
    file = f"--weights={data_dir}/weights/akamaster/resnet20-12fca82f.th"
    command = ["--network=resnet20", file, "--dataset=cifar10", f"--data_dir={tmp_path}"]
    result = last_line(helpers.module("train.evaluate", *command))
    assert result["examples"] == FEW
    assert result["top1"] == pytest.approx(right(data_dir, labels), abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("flags", [[], ["--source=akamaster"]], ids=str)
def test_the_command_line_measures_all_images(flags, data_dir) -> None:
    file = f"--weights={data_dir}/weights/akamaster/resnet20-12fca82f.th"
    data = ["--dataset=cifar10", f"--data_dir={data_dir}/tfds"]
    result = last_line(helpers.module("train.evaluate", "--network=resnet20", file, *data, *flags))
    assert (result["top1"], result["examples"]) == (pytest.approx(91.73, abs=1e-9), 10_000)


@pytest.mark.slow
def test_the_command_line_finds_a_mean_image_that_nobody_kept(data_dir) -> None:
    file = f"--weights={data_dir}/weights/robinc94/resnet20_keras_folded.npz"
    data = ["--dataset=cifar10", f"--data_dir={data_dir}/tfds"]
    result = last_line(helpers.module("train.evaluate", file, *data))
    assert result["top1"] == pytest.approx(90.88, abs=1e-9)


def test_what_is_known_of_weights_travels(cifar, data_dir, tmp_path) -> None:
    """Into every file that leaves, so that 91.73 % stay 91.73 %."""
    file = data_dir / "weights" / "akamaster" / "resnet20-12fca82f.th"
    model = resnet.from_weights(file)
    assert model.manifest.source["name"] == "akamaster"
    assert model.manifest.source["sha256"].startswith("12fca82f")  # as its name says
    images = cifar[0][:8]
    expected = model(model.preprocessing(images))
    weights.save(model, tmp_path / "a.keras")
    model.save(tmp_path / "b.keras")
    model.save_weights(tmp_path / "c.weights.h5")
    for name in ("a.keras", "b.keras", "c.weights.h5"):
        again = resnet.from_weights(tmp_path / name)
        assert again.manifest == model.manifest
        np.testing.assert_array_equal(again(again.preprocessing(images)), expected)
    loaded = keras.saving.load_model(tmp_path / "b.keras")
    assert loaded.manifest == model.manifest
    # A clone has fresh weights, of which nothing is known.
    assert keras.models.clone_model(loaded).manifest is None


def test_weights_leave_as_an_export(cifar, data_dir, tmp_path) -> None:
    file = data_dir / "weights" / "akamaster" / "resnet20-12fca82f.th"
    out = tmp_path / "resnet20" / "1"
    done = helpers.module("keras_resnet.export", f"--weights={file}", f"--out={out}")
    assert done.returncode == 0, done.stderr
    told = json.loads((out / "model.json").read_text())
    assert (told["labels"][9], told["source"]["name"]) == ("truck", "akamaster")
    examples = tmp_path / "test.npz"
    images, labels = (part[:FEW] for part in cifar)
    np.savez(examples, images=images.astype("float32"), labels=labels)
    count, top1 = predicting.accuracy(out, examples)
    assert count == FEW
    assert top1 == pytest.approx(right(data_dir, labels), abs=1e-9)


@pytest.fixture(scope="module")
def kinds(data_dir, tmp_path_factory):
    """250 real photographs: those of ImageNet's first 398 classes show animals."""
    import csv

    folder = tmp_path_factory.mktemp("kinds")
    source = data_dir / "imagenet_mini"
    with (source / "labels.csv").open() as lines:
        for i, row in enumerate(csv.DictReader(lines)):
            kind = "animal" if int(row["class_index"]) < 398 else "thing"
            place = folder / ("train" if i % 4 else "test") / kind
            place.mkdir(parents=True, exist_ok=True)
            (place / row["file"]).symlink_to(source / "images" / row["file"])
    return folder


def test_weights_of_cifar_learn_to_tell_animals_from_things(kinds, data_dir, tmp_path) -> None:
    """187 photographs are too few to learn from alone; 60 % of them show things."""
    file = data_dir / "weights" / "akamaster" / "resnet20-12fca82f.th"
    flags = ["--recipe=finetune", f"--data_dir={kinds}", "--steps=80", "--log_every=80"]
    command = ["train", *flags, f"--init_weights={file}", f"--workdir={tmp_path}"]
    assert last_line(helpers.module(*command))["top1"] > 68
    tuned = resnet.from_weights(tmp_path / "final.keras")
    first = resnet.from_weights(file)
    assert tuned.manifest.labels == ("animal", "thing")
    assert tuned.preprocessing.mean == first.preprocessing.mean
    assert tuned.manifest.image_shape == (32, 32, 3)
    frozen = [part for part in tuned.spec.parts if part in ("stem", "stage1", "stage2")]
    for layer in first.layers:
        same = [
            np.array_equal(a, b)
            for a, b in zip(
                layer.get_weights(), tuned.get_layer(layer.name).get_weights(), strict=True
            )
        ]
        assert same == [layer.name.startswith(tuple(frozen))] * len(same), layer.name
