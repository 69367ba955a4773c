"""What cards say of accuracy is what the real test images give, in Keras and in exports."""

from pathlib import Path

import numpy as np
import pytest

import keras_resnet
from keras_resnet.weights.catalogue import Card, cards
from tests.support import helpers, predicting
from train import datasets

BY_NAME = {card.name: card for card in cards()}
ROOM = 0.3  # points that an export may cost
LEAST = 100  # images, from which on a set is a measure


@pytest.fixture(scope="session")
def place(data_dir) -> str:
    return str(data_dir / "tfds")


def all_images(card: Card, place: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns all test images, uint8 [n, height, width, channels], and their labels [n]."""
    test = datasets.load(card.dataset, "test", place)
    pairs = test.elements(None).map(test.decode).batch(test.size)
    images, labels = next(iter(pairs.as_numpy_iterator()))
    return images, labels


@pytest.mark.parametrize("name", BY_NAME)
def test_keras_reaches_what_the_card_says(name, place):
    card = BY_NAME[name]
    images, labels = all_images(card, place)
    assert len(images) == card.accuracy[0]["images"] > LEAST
    model = keras_resnet.resnet(card.network, weights=card.dataset)
    right = [
        np.argmax(model.predict_on_batch(model.preprocessing(images[i : i + 500])), 1)
        == labels[i : i + 500]
        for i in range(0, len(images), 500)
    ]
    # An image whose two best classes are level can go either way on another processor.
    assert 100 * np.mean(np.concatenate(right)) == pytest.approx(card.top1, abs=0.02)


@pytest.fixture(scope="module", params=BY_NAME)
def exported(request, place, tmp_path_factory) -> tuple[Card, Path, Path]:
    """A card, the exports of its network, and all test images."""
    card = BY_NAME[request.param]
    folder = tmp_path_factory.mktemp("exported")
    named = [f"--network={card.network}", f"--weights={card.dataset}"]
    evaluate = ["train.evaluate", *named, f"--dataset={card.dataset}", f"--data_dir={place}"]
    cases = [
        [*evaluate, "--split=train", "--examples=1024", f"--examples_out={folder}/train.npz"],
        [*evaluate, f"--examples_out={folder}/test.npz"],
        [
            "keras_resnet.export",
            *named,
            "--formats=saved_model,tflite_int8",
            f"--calibration_file={folder}/train.npz",
            f"--out={folder}/exports/1",
        ],
    ]
    for done in helpers.modules(cases):
        assert done["code"] == 0, done["stderr"]
    return card, folder / "exports" / "1", folder / "test.npz"


@pytest.mark.slow
@pytest.mark.parametrize("file", ["", "model_int8.tflite"], ids=["SavedModel", "TFLite int8"])
def test_exports_keep_it(exported, file):
    card, folder, examples = exported
    count, top1 = predicting.accuracy(folder / file, examples)
    assert count == card.accuracy[0]["images"]
    assert top1 == pytest.approx(card.top1, abs=ROOM)
