"""A tiny network with a manifest, and the file that holds both."""

import hashlib
import json
from pathlib import Path

import keras

from keras_resnet import resnet, weights
from keras_resnet.manifest import Manifest
from keras_resnet.preprocessing import mode
from keras_resnet.weights import Told
from keras_resnet.weights.infer.authority import NOTHING
from tests.support import variants

SUFFIXES = (".weights.h5", ".keras")
TINY = {"repeats": (1, 1, 1), "input_shape": (32, 32, 3)}


def network(**fields) -> keras.Model:
    model = resnet("resnet20", **{**TINY, **fields})
    variants.randomize(model)
    return model


def manifest(**changes) -> Manifest:
    values = {
        "network": "resnet20",
        "image_shape": (32, 32, 3),
        "labels": tuple("abcdefghij"),
        "preprocessing": mode("torch", image_size=32, crop=0.9),
        "fields": {"repeats": [1, 1, 1]},
        "training": {"recipe": "mine", "top1": 91.5},
        "activation": "softmax",
    }
    return Manifest(**{**values, **changes})


def same(one: Manifest, other: Manifest) -> bool:
    return json.loads(one.to_json()) == json.loads(other.to_json())


def saved(folder: Path, name: str = "tiny.weights.h5") -> tuple[keras.Model, str]:
    """Writes weights and their manifest; returns the model and the SHA-256 of the file."""
    model = network()
    weights.save(model, folder / "tiny.weights.h5", manifest())
    (folder / "tiny.weights.h5").rename(folder / name)
    return model, hashlib.sha256((folder / name).read_bytes()).hexdigest()


def described(file: str | Path, told: Told = NOTHING) -> Manifest:
    """What a file holds, for a user who says this of it."""
    with weights.opened(Path(file)) as held:
        return held.settle(told)
