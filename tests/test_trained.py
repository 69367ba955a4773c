"""What command lines say of a file of weights, and what the file says itself."""

import numpy as np
import pytest
from test_weights import manifest, network, same

from keras_resnet import trained, weights
from keras_resnet.preprocessing import MODES, mode, per_pixel


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
    assert trained.parse_fields(assignments) == fields


@pytest.mark.parametrize("text", ["shortcut", "blocks=3", "", "=C"])
def test_other_assignments_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"NAME=VALUE.*shortcut") as caught:
        trained.parse_fields([text])
    assert repr(text) in str(caught.value)


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> str:
    path = str(tmp_path_factory.mktemp("weights") / "mine.weights.h5")
    weights.save(network(), path, manifest())
    return path


@pytest.fixture(scope="module")
def silent_file(tmp_path_factory) -> str:
    path = str(tmp_path_factory.mktemp("weights") / "silent.weights.h5")
    network().save_weights(path)
    return path


def test_a_file_says_what_it_holds(file: str) -> None:
    assert same(trained.describe(file, None, {}, None, None), manifest())
    found = trained.describe(file, "resnet20", {"repeats": [1, 1, 1]}, None, None)
    assert same(found, manifest())


def test_a_user_may_choose_another_size_or_scaling(file: str) -> None:
    larger = trained.describe(file, None, {}, None, 48)
    assert larger.image_shape == (48, 48, 3)
    expected = mode("torch", image_size=48, crop=0.9)
    assert same(larger, manifest(image_shape=(48, 48, 3), preprocessing=expected))
    other = trained.describe(file, None, {}, "caffe", None).preprocessing
    assert other == mode("caffe", image_size=32, crop=0.9)


def test_a_user_cannot_contradict_the_file(file: str) -> None:
    with pytest.raises(ValueError, match="holds the weights of resnet20, not of resnet32"):
        trained.describe(file, "resnet32", {}, None, None)
    with pytest.raises(ValueError, match=r"mine.*'shortcut': 'C'"):
        trained.describe(file, None, {"shortcut": "C"}, None, None)
    with pytest.raises(ValueError, match=r"mine.*'repeats': \[2, 2, 2\]"):
        trained.describe(file, "resnet20", {"repeats": [2, 2, 2]}, None, None)
    # What the default says is no contradiction.
    assert same(trained.describe(file, None, {"shortcut": "A"}, None, None), manifest())


def test_a_mean_image_fits_one_size(tmp_path) -> None:
    path = str(tmp_path / "mean.weights.h5")
    mean = per_pixel(np.full((32, 32, 3), 7.0))
    weights.save(network(), path, manifest(preprocessing=mean))
    with pytest.raises(ValueError, match=r"mean is an image of 32x32.*image_size=48"):
        trained.describe(path, None, {}, None, 48)


def test_classes_are_as_many_as_labels(tmp_path) -> None:
    path = str(tmp_path / "seven.weights.h5")
    seven = manifest(labels=tuple("abcdefg"))
    weights.save(network(classes=7), path, seven)
    assert same(trained.describe(path, None, {"classes": 7}, None, None), seven)
    with pytest.raises(ValueError, match="classes"):
        trained.describe(path, None, {"classes": 10}, None, None)


@pytest.mark.parametrize(("network", "mode"), [(None, None), ("resnet20", None), (None, "tf")])
def test_a_silent_file_needs_a_network_and_a_scaling(silent_file, network, mode) -> None:
    with pytest.raises(ValueError, match=r"silent.*--network and --preprocessing"):
        trained.describe(silent_file, network, {}, mode, None)


@pytest.mark.parametrize("size", [None, 40])
def test_a_silent_file_is_believed_to_hold_what_its_user_says(silent_file, size) -> None:
    found = trained.describe(silent_file, "resnet20", {"repeats": [1, 1, 1]}, "tf", size)
    assert found.labels == tuple("0123456789")
    assert found.image_shape == (size or 32, size or 32, 3)
    assert found.fields == {"repeats": [1, 1, 1]}
    assert found.preprocessing == mode("tf", image_size=size or 32, crop=1.0)
    imagenet = trained.describe(silent_file, "resnet50", {}, "caffe", None)
    assert len(imagenet.labels) == 1000
    assert imagenet.labels[207] == "golden_retriever"
    assert imagenet.preprocessing == MODES["caffe"]
    seven = trained.describe(silent_file, "resnet50", {"classes": 7}, "caffe", None)
    assert (seven.labels, seven.fields) == (tuple("0123456"), {})
