"""Weights of this package by their names: they load, classify, fine-tune and are exported."""

import json
import re

import numpy as np
import pytest

import keras_resnet
from keras_resnet import weights
from keras_resnet.weights import catalogue
from tests.support import helpers, predicting
from train import datasets


def digits(count: int = 360) -> tuple[np.ndarray, np.ndarray]:
    """Test images, uint8 [n, 8, 8, 1], and their labels."""
    test = datasets.load("digits", "test", None)
    images, labels = test.gather(np.arange(count))
    return np.asarray(images), np.asarray(labels)


def test_every_door_gives_the_network_that_was_trained(shipped, run):
    images, labels = digits()
    trained = keras_resnet.from_weights(run / "final.weights.h5")
    expected = trained.predict(trained.preprocessing(images), verbose=0)
    for model in (
        keras_resnet.ResNet8(weights="digits"),
        keras_resnet.resnet("resnet8", weights="digits"),
        keras_resnet.from_weights("digits/resnet8"),
        keras_resnet.resnet("resnet8", weights="digits/resnet8"),
    ):
        assert model.manifest == trained.manifest
        found = model.predict(model.preprocessing(images), verbose=0)
        # Half a unit in the last place of float16 is 2^-12 of a kernel.
        np.testing.assert_allclose(found, expected, atol=0.01)
        assert (found.argmax(1) == labels).mean() > 0.9


def test_keras_itself_reads_the_file(shipped):
    model = keras_resnet.resnet("resnet8", classes=10, input_shape=(8, 8, 1))
    model.load_weights(shipped / "digits" / "resnet8.weights.h5")
    expected = keras_resnet.ResNet8(weights="digits")
    images = expected.preprocessing(digits(8)[0])
    np.testing.assert_allclose(model(images), expected(images), rtol=1e-5, atol=1e-6)


def test_all_facts_are_stated_and_none_assumed(shipped):
    manifest = weights.read_manifest(shipped / "digits" / "resnet8.weights.h5")
    assert manifest
    assert manifest.assumed == {}
    assert manifest.activation == "softmax"
    assert manifest.image_shape == (8, 8, 1)
    assert manifest.labels == tuple("0123456789")
    assert np.shape(manifest.known_preprocessing().mean) == (8, 8, 1)
    assert manifest.training["recipe"]["seed"] == 3


def test_arguments_act_as_on_other_weights(shipped, caplog):
    whole = keras_resnet.ResNet8(weights="digits")
    x = whole.preprocessing(digits(4)[0])
    features = keras_resnet.ResNet8(weights="digits", include_top=False, pooling="avg")
    kernel, bias = whole.get_layer("logits").get_weights()
    logits = keras_resnet.ResNet8(weights="digits", classifier_activation=None)
    np.testing.assert_allclose(
        np.asarray(features(x)) @ kernel + bias, logits(x), rtol=1e-4, atol=1e-4
    )
    other = keras_resnet.ResNet8(weights="digits", classes=3)
    assert other.output_shape == (None, 3)
    assert "the number of classes differs; the classifier is not loaded" in caplog.text
    colour = keras_resnet.ResNet8(weights="digits", input_shape=(None, None, 3))
    assert "adapted to images of 3 channels" in caplog.text
    assert colour.predict(np.zeros((1, 8, 8, 3)), verbose=0).shape == (1, 10)
    for fields in ({"shortcut": "B"}, {"preact": True}, {"repeats": (2, 2, 2)}):
        with pytest.raises(
            ValueError, match=f"contains weights of another network.*{next(iter(fields))}"
        ):
            keras_resnet.ResNet8(weights="digits", **fields)


MISSING = {
    "another network": (("digits", "resnet20"), r"exist for resnet8, not for resnet20; did you me"),
    "no network": (("digits", None), "give the network, too, such as 'digits/resnet8'"),
    "misspelt network": (("digits/resnet9", None), "not for resnet9; did you mean resnet8"),
    "misspelt set": (("digit", "resnet8"), "names are 'digits', 'imagenet', .* mean 'digits'"),
    "set without any": (("cifar10", "resnet20"), "this version .* has no weights of that name"),
    "both": (("cifar10/resnet20", None), "this version .* has no weights of that name"),
}


@pytest.mark.parametrize("name", MISSING)
def test_names_without_weights_are_refused(shipped, name):
    arguments, message = MISSING[name]
    with pytest.raises(ValueError, match=message):
        weights.local(*arguments)


def test_an_empty_folder_says_that_there_are_none(tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "SHIPPED", tmp_path)
    message = r"no weights of that name; names are 'imagenet', see keras_resnet\.list_weights\(\)"
    with pytest.raises(ValueError, match=message):
        keras_resnet.ResNet20(weights="cifar10")
    assert {offer.weights for offer in keras_resnet.list_weights()} == {"imagenet"}
    assert str(keras_resnet.list_weights("resnet20")).startswith("no weights by name")


def test_files_are_files(shipped, tmp_path, monkeypatch):
    """A name of a data set that has weights comes first; another name may be a file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").write_text("x")
    for path in ("mine", "./digits", "digits/resnet8.weights.h5", "a/b", "x.keras", "/digits"):
        assert str(weights.local(path, "resnet8")) == path.removeprefix("./")
    (tmp_path / "digits").write_text("x")
    assert weights.local("digits", "resnet8") == shipped / "digits" / "resnet8.weights.h5"


def test_a_damaged_installation_is_found(shipped, folder, tmp_path, monkeypatch):
    place = tmp_path / "digits"
    place.mkdir()
    card = (folder / "digits" / "resnet8.json").read_text()
    (place / "resnet8.json").write_text(card)
    monkeypatch.setattr(catalogue, "SHIPPED", tmp_path)
    for content in (None, b"", b"other"):
        if content is not None:
            (place / "resnet8.weights.h5").write_bytes(content)
        with pytest.raises(
            ValueError, match=r"resnet8\.weights\.h5 is missing or damaged: install"
        ):
            keras_resnet.ResNet8(weights="digits")
    for text in ("", "{}", json.dumps({**json.loads(card), "more": 1})):
        (place / "resnet8.json").write_text(text)
        with pytest.raises(ValueError, match=r"resnet8\.json is not the card of weights"):
            keras_resnet.list_weights()


def test_the_list_is_data_and_a_table(shipped):
    every = keras_resnet.list_weights()
    assert len(every) == 7
    [offer] = keras_resnet.list_weights("resnet8")
    assert offer == every[0]
    assert (offer.weights, offer.dataset, offer.classes) == ("digits", "digits", 10)
    head, first, *_ = str(every).splitlines()
    assert re.split(" {2,}", head)[:4] == ["network", "weights", "data set", "classes"]
    assert re.split(" {2,}", first)[:4] == ["resnet8", "digits", "digits", "10"]
    with pytest.raises(ValueError, match="unknown network 'resnet9'; did you mean resnet"):
        keras_resnet.list_weights("resnet9")


def command(shipped, *words: str):
    return helpers.module("tests.support.with_weights", str(shipped), *words)


def test_training_goes_on_from_a_name(shipped, run, tmp_path):
    """The first steps of a run with a rate of 0 leave the accuracy as it is."""
    card = catalogue.cards()[0]
    words = ["--recipe=digits_resnet20", "--init_weights=digits", "--network=resnet8"]
    still = ["--steps=1", "--learning_rate=1e-9", f"--workdir={tmp_path}/run"]
    done = command(shipped, "train", *words, *still)
    # A single step moves the statistics of the normalizations a little.
    assert helpers.last_line(done)["top1"] == pytest.approx(card.top1, abs=2)
    recipe = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert (recipe["init_weights"], recipe["preprocessing"]) == ("digits", "weights")
    done = command(shipped, "train", *words[:2], "--network=resnet20", f"--workdir={tmp_path}/x")
    assert done.returncode == 1
    assert "exist for resnet8, not for resnet20" in done.stderr


def test_exports_of_a_name_classify(shipped, tmp_path):
    named = ["--network=resnet8", "--weights=digits"]
    for split, name in (("train", "train.npz"), ("test", "test.npz")):
        done = command(
            shipped,
            "train.evaluate",
            *named,
            "--dataset=digits",
            f"--split={split}",
            f"--examples_out={tmp_path}/{name}",
        )
        measured = helpers.last_line(done)
    top1 = catalogue.cards()[0].top1
    assert measured["top1"] == pytest.approx(top1, abs=1e-4)
    out = f"{tmp_path}/digits/1"
    formats = ["--formats=saved_model,tflite_int8", f"--calibration_file={tmp_path}/train.npz"]
    assert command(shipped, "keras_resnet.export", *named, f"--out={out}", *formats).returncode == 0
    for model, room in ((out, 0.01), (f"{out}/model_int8.tflite", 2)):
        _, found = predicting.accuracy(model, tmp_path / "test.npz")
        assert found == pytest.approx(top1, abs=room)
