"""What command lines say of a file of weights, and what the file says itself."""

from pathlib import Path

import keras
import numpy as np
import pytest

from keras_resnet import weights
from keras_resnet.models import weights_flags
from keras_resnet.preprocessing import Preprocessing, mode, per_pixel
from keras_resnet.weights import Told
from tests.support.saved_networks import described, manifest, network, same


@pytest.mark.parametrize(
    ("assignments", "fields"),
    [
        ([], {}),
        (["shortcut=C"], {"shortcut": "C"}),
        (['shortcut="C"'], {"shortcut": "C"}),
        (["shortcut=null", "zero_gamma=true"], {"shortcut": None, "zero_gamma": True}),
        (
            ["repeats=[1,1,2]", "stochastic_depth=0.2"],
            {"repeats": [1, 1, 2], "stochastic_depth": 0.2},
        ),
        (["stride_on=3x3", "output_stride=8"], {"stride_on": "3x3", "output_stride": 8}),
    ],
    ids=str,
)
def test_fields_of_a_command_line(assignments, fields) -> None:
    assert weights_flags.parse_fields(assignments) == fields


@pytest.mark.parametrize("text", ["shortcut", "blocks=3", "", "=C"])
def test_other_assignments_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"NAME=VALUE.*shortcut") as caught:
        weights_flags.parse_fields([text])
    assert repr(text) in str(caught.value)


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> str:
    path = str(tmp_path_factory.mktemp("weights") / "mine.weights.h5")
    weights.save(network(), path, manifest())
    return path


def silently(model: keras.Model, file: Path) -> None:
    keras.Model(model.input, model.output).save_weights(file)


@pytest.fixture(scope="module")
def silent_file(tmp_path_factory) -> str:
    """As of plain Keras: nothing but weights."""
    path = tmp_path_factory.mktemp("weights") / "silent.weights.h5"
    silently(network(), path)
    return str(path)


def test_a_file_says_what_it_holds(file: str) -> None:
    assert same(described(file), manifest())
    found = described(file, Told("resnet20", fields={"repeats": [1, 1, 1]}))
    assert same(found, manifest())


def test_a_user_may_choose_another_size_or_scaling(file: str) -> None:
    larger = described(file, Told(preprocessing_fields={"image_size": 48}))
    assert larger.image_shape == (48, 48, 3)
    expected = mode("torch", image_size=48, crop=0.9)
    assert same(larger, manifest(image_shape=(48, 48, 3), preprocessing=expected))
    other = described(file, Told(preprocessing="caffe")).preprocessing
    assert other == mode("caffe", image_size=32, crop=0.9)


def test_a_user_cannot_contradict_the_file(file: str) -> None:
    with pytest.raises(ValueError, match=r"mine.*repeats=\(1, 1, 1\) in the file, not \(5, 5, 5\)"):
        described(file, Told("resnet32"))
    with pytest.raises(ValueError, match=r"mine.*shortcut='A' in the file, not 'C'"):
        described(file, Told(fields={"shortcut": "C"}))
    with pytest.raises(ValueError, match=r"mine.*repeats=\(1, 1, 1\) in the file, not \(2, 2, 2\)"):
        described(file, Told("resnet20", fields={"repeats": [2, 2, 2]}))
    # What the default says is no contradiction.
    assert same(described(file, Told(fields={"shortcut": "A"})), manifest())


def test_a_mean_image_fits_one_size(tmp_path) -> None:
    path = str(tmp_path / "mean.weights.h5")
    mean = per_pixel(np.full((32, 32, 3), 7.0))
    weights.save(network(), path, manifest(preprocessing=mean))
    with pytest.raises(ValueError, match=r"mean is an image of 32x32.*image_size=48"):
        described(path, Told(preprocessing_fields={"image_size": 48}))


def test_classes_are_as_many_as_labels(tmp_path) -> None:
    path = str(tmp_path / "seven.weights.h5")
    seven = manifest(labels=tuple("abcdefg"))
    weights.save(network(classes=7), path, seven)
    assert same(described(path, Told(classes=7)), seven)
    with pytest.raises(ValueError, match="classes"):
        described(path, Told(classes=10))


def test_a_silent_file_needs_a_network_or_what_shapes_leave_open(silent_file) -> None:
    words = (
        r"silent\.weights\.h5 is a file of keras_resnet, which does not determine stem, shortcut,"
        r".*name the network, or give stem=\(\(3, 16, 1\),\) or stem=\(\(3, 16, 2\),\);"
        r" shortcut='A' or shortcut=None"
    )
    with pytest.raises(weights.Undecided, match=words):
        described(silent_file)
    told = {
        "stem": [[3, 16]],
        "stem_pool": None,
        "shortcut": None,
        "stride_block": "first",
        "padding": "symmetric",
    }
    found = described(silent_file, Told(fields=told))
    assert (found.network, found.fields) == ("plain8", {})


def test_a_silent_file_needs_a_scaling_before_it_is_used(silent_file) -> None:
    said = {"fields": {"repeats": [1, 1, 1]}}
    found = described(silent_file, Told("resnet20", **said))
    assert found.preprocessing is None
    with pytest.raises(ValueError, match="resnet20 is unknown: give --preprocessing, or --mean"):
        found.known_preprocessing()
    with pytest.raises(ValueError, match="mean alone is not enough: give mean and std"):
        described(silent_file, Told("resnet20", **said, preprocessing_fields={"mean": 1.0}))


@pytest.mark.parametrize("size", [None, 40])
def test_a_silent_file_is_believed_to_hold_what_its_user_says(silent_file, size) -> None:
    scaling = {"image_size": size} if size else {}
    fields = {"repeats": [1, 1, 1]}
    told = Told("resnet20", fields=fields, preprocessing="tf", preprocessing_fields=scaling)
    found = described(silent_file, told)
    assert found.labels == tuple("0123456789")
    assert found.image_shape == (size or 32, size or 32, 3)
    assert found.fields == {"repeats": [1, 1, 1]}
    assert found.preprocessing == mode("tf", image_size=size or 32, crop=1.0)
    assert found.activation is None  # nothing says what follows the logits


SCALING = {
    "mean": [1.0, 2.0, 3.0],
    "std": [4.0],
    "bgr": True,
    "image_size": 28,
    "crop": 0.5,
    "interpolation": "bicubic",
}


@pytest.mark.parametrize("known", [True, False], ids=["told by the file", "silent"])
def test_every_part_of_a_scaling_can_be_said(file, silent_file, known: bool) -> None:
    path, network = (file, None) if known else (silent_file, "resnet8")
    found = described(path, Told(network, preprocessing_fields=SCALING))
    assert found.preprocessing == Preprocessing(**SCALING)
    assert found.image_shape == (28, 28, 3)
    with pytest.raises(ValueError, match="mean has 4 channels, images of this network have 3"):
        described(path, Told(network, preprocessing_fields={**SCALING, "mean": [1, 2, 3, 4]}))


def test_labels_of_a_thousand_classes_are_those_of_imagenet(tmp_path) -> None:
    file = tmp_path / "silent.weights.h5"
    silently(network(classes=1000), file)
    found = described(file, Told("resnet8", preprocessing="caffe"))
    assert found.labels[207] == "golden_retriever"
    assert found.assumed == {"labels": "keras_resnet"}
    with pytest.raises(ValueError, match="has 1000 classes, not classes=7"):
        described(file, Told("resnet8", classes=7))
