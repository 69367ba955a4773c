"""A network is measured on classes of the same names, whatever their order and their number."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from keras_resnet.labels import imagenet_labels
from keras_resnet.manifest import Manifest
from tests.support import helpers, trees
from tests.support.trees import by_class
from train import datasets
from train.datasets.examples import Examples, arrays
from train.evaluate import relabelled

SHADES = {"dark": 20, "light": 230}


def manifest(*labels: str, **fields) -> Manifest:
    training = {"recipe": {}} if fields.pop("trained", True) else {}
    return Manifest("resnet8", (8, 8, 3), labels, None, training=training, **fields)


def shades(root: Path, *classes: str, count: int = 4) -> Path:
    """Plants pictures in folders named CLASS or SPLIT/CLASS, each in the shade of its class."""
    for name in classes:
        level = SHADES[name.rpartition("/")[2]]
        for i in range(count):
            trees.plant(root, [f"{name}/{i}.png"], trees.picture(level=level + i))
    return root


def labels(examples: Examples) -> list[int]:
    return [int(examples.decode(i)[1]) for i in range(examples.size)]


def test_labels_are_those_of_the_network(tmp_path):
    trees.plant(tmp_path, trees.classes("test/dog", "test/cat", count=2))
    examples = datasets.load("folder", "test", str(tmp_path))
    assert labels(examples) == [0, 0, 1, 1]
    assert labels(relabelled(examples, manifest("eel", "dog", "cat"))) == [2, 2, 1, 1]
    assert labels(relabelled(examples, manifest("cat", "dog"))) == [0, 0, 1, 1]
    renamed = by_class(relabelled(examples, manifest("eel", "dog", "cat")))
    assert renamed == {
        "eel": set(),
        "dog": {b"test/dog/0.png", b"test/dog/1.png"},
        "cat": {b"test/cat/0.png", b"test/cat/1.png"},
    }


def test_a_few_folders_of_imagenet_are_found_by_their_ids(tmp_path):
    ids, names = zip(*imagenet_labels(), strict=True)
    trees.plant(tmp_path, trees.classes(*(f"val/{ids[i]}" for i in (900, 7, 134)), count=1))
    examples = datasets.load("folder", "test", str(tmp_path))
    assert sorted(labels(relabelled(examples, manifest(*names)))) == [7, 134, 900]


def test_numbers_have_to_do_where_nobody_gave_names(capsys):
    examples = arrays(np.zeros((3, 8, 8, 3), np.uint8), [2, 0, 1], ("cat", "dog", "eel"))
    foreign = manifest("0", "1", "2", trained=False)
    assert labels(relabelled(examples, foreign)) == [2, 0, 1]
    assert capsys.readouterr().out == (
        "the network does not name its classes; compared by number: 'cat' of the data set is '0'"
        " of the network, and so on\n"
    )
    numbered = replace(examples, labels=("0", "1", "2"))
    assert labels(relabelled(numbered, manifest("cat", "dog", "eel"))) == [2, 0, 1]
    assert "the data set does not name its classes" in capsys.readouterr().out
    assert labels(relabelled(numbered, manifest("2", "1", "0"))) == [0, 2, 1]
    assert capsys.readouterr().out == ""


REFUSED = {
    "other names": (manifest("day", "night", "dawn"), "no class 'cat', 'dog', 'eel'"),
    "one too few": (manifest("cat", "dog"), "no class 'eel'; its classes are 'cat', 'dog'"),
    "one output": (manifest("cat"), "one output, 'cat'.*cannot be measured on 3 classes"),
    "numbers that are names": (manifest("0", "1", "2"), "no class 'cat'"),
    "too many numbers": (manifest("0", "1", "2", "3", trained=False), "no class 'cat'"),
    "channels": (replace(manifest("cat", "dog", "eel"), image_shape=(8, 8, 1)), "1 channels"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused(case):
    examples = arrays(np.zeros((3, 8, 8, 3), np.uint8), [2, 0, 1], ("cat", "dog", "eel"))
    network, words = REFUSED[case]
    with pytest.raises(ValueError, match=words):
        relabelled(examples, network)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, dict]:
    """A network that tells dark from light, measured on other folders, from outside."""
    root = tmp_path_factory.mktemp("names")
    trained = shades(root / "trained", "dark", "light", count=10)
    light = shades(root / "light", "test/light")
    other = trees.plant(root / "other", trees.classes("test/day", "test/night"))
    (root / "only").mkdir()
    network = f"--weights={root}/run/final.keras"
    evaluate = ["train.evaluate", network, "--dataset=folder"]
    cases = {
        "train": [
            "train",
            "--recipe=cifar10_resnet20",
            helpers.TINY,
            "--dataset=folder",
            "--preprocessing=torch",
            "--boundaries=",
            "--batch_size=8",
            "--steps=30",
            "--image_size=8",
            "--learning_rate=0.02",
            f"--data_dir={trained}",
            f"--workdir={root}/run",
        ],
        "light": [*evaluate, f"--data_dir={light}", f"--examples_out={root}/light.npz"],
        "other": [*evaluate, f"--data_dir={other}"],
    }
    done = helpers.modules(list(cases.values()))
    with np.load(root / "light.npz") as file:
        written = file["labels"].tolist()
    return {**dict(zip(cases, done, strict=True)), "written": written}


def test_a_class_alone_is_measured_by_its_name(runs):
    """Its number in that folder is 0, which is dark for the network."""
    assert runs["train"]["code"] == 0, runs["train"]["stderr"]
    result = json.loads(runs["light"]["stdout"].splitlines()[-1])
    assert (result["top1"], result["examples"]) == (100, 4)
    assert runs["written"] == [1] * 4


def test_other_names_are_an_error(runs):
    assert runs["other"]["code"] == 1
    error = runs["other"]["stderr"].splitlines()[-1]
    assert error == (
        "error: the network has no class 'day', 'night'; its classes are 'dark', 'light'"
    )


def test_runs_begin_with_what_they_found(runs):
    assert runs["train"]["stdout"].splitlines()[0].startswith("trained: 20 images in 2 classes: ")
    assert runs["light"]["stdout"].splitlines()[:2] == [
        "light: 4 images in 1 class: 4 test",
        "  light: 4",
    ]
