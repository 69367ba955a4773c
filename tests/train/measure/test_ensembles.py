"""Networks of several sources measured together: trained ones against PyTorch's logits."""

import numpy as np
import pytest

import keras_resnet
from keras_resnet.labels import imagenet_labels
from keras_resnet.manifest import Manifest
from keras_resnet.models.weights_flags import Trained
from tests.support import cifar10_images
from train.datasets.decoding import Broken
from train.datasets.examples import arrays
from train.measure.measurement import Measurement
from train.measure.networks import members, relabelled
from train.tasks.protocols import Protocol

FEW = 200
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
# Files to the names of their logits, as an independent implementation in PyTorch computed them.
SMALL = {
    "akamaster/resnet20-12fca82f.th": "resnet20",
    "a-martyn/resnet20.pt": "resnet20",
    "a-martyn/plainnet20.pt": "plainnet20",
}
FIELDS = {  # which these files do not tell
    "a-martyn/resnet20.pt": {"shortcut": "A"},
    "a-martyn/resnet56.pt": {"shortcut": "A"},
    "a-martyn/plainnet20.pt": {"shortcut": None},
}
ALL = SMALL | {"akamaster/resnet56-4bfd9763.th": "resnet56", "a-martyn/resnet56.pt": "resnet56"}


def opened(folder, files) -> list[Trained]:
    found = []
    for file in files:
        own = folder / file
        model = keras_resnet.from_weights(own, classifier_activation=None, **FIELDS.get(file, {}))
        found.append(Trained(model, model.manifest, own))
    return found


def theirs(folder, files, count: int) -> np.ndarray:
    """The mean of the softmax of the logits of others."""
    shares = []
    for file, name in files.items():
        place = (folder / file).with_name("reference_logits_cifar10_test.npz")
        logits = np.load(place)[name][:count].astype(np.float64)
        powers = np.exp(logits - logits.max(1, keepdims=True))
        shares.append(powers / powers.sum(1, keepdims=True))
    return np.mean(shares, 0)


def measured(data_dir, files, count: int):
    folder = data_dir / "weights"
    images, labels = (part[:count] for part in cifar10_images.read(data_dir, "test"))
    trained = opened(folder, files)
    examples = relabelled(arrays(images, labels, CIFAR10), trained[0].manifest)
    measurement = Measurement(
        members(trained, examples.labels, only=False),
        examples,
        Protocol(),
        batch_size=100,
        broken=Broken(),
    )
    parts = [measurement.measure(first, lambda _: None) for first in measurement.parts]
    scores = np.concatenate([part.scores for part in parts])
    return np.exp(scores), labels, theirs(folder, files, count)


def test_trained_networks_of_two_sources_average_as_in_torch(data_dir):
    """Each with the preprocessing and the channels of zeros that its source has."""
    found, _, expected = measured(data_dir, SMALL, FEW)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.slow
def test_five_networks_are_as_accurate_together_as_in_torch(data_dir):
    found, labels, expected = measured(data_dir, ALL, 10_000)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    accuracy = 100 * np.mean(expected.argmax(1) == labels)
    print(f"\nfive networks: {accuracy:.2f} %")
    assert 100 * np.mean(found.argmax(1) == labels) == pytest.approx(accuracy, abs=0.02)


def trained(*labels: str, trained: bool = True) -> Trained:
    """A network of which only the names of its classes are looked at."""
    manifest = Manifest(
        "resnet8",
        (8, 8, 3),
        labels,
        keras_resnet.preprocessing.Preprocessing(image_size=8),
        training={"recipe": {}} if trained else {},
    )
    return Trained(None, manifest, f"{''.join(labels)[:4]}.keras")


def columns(found) -> list:
    return [member.columns for member in found]


def test_classes_are_found_by_their_names():
    nets = [
        trained("cat", "dog", "eel"),
        trained("eel", "cat", "dog"),
        trained("cat", "dog", "eel"),
    ]
    assert columns(members(nets, ("cat", "dog", "eel"), only=False)) == [None, (1, 2, 0), None]
    ids, names = zip(*imagenet_labels(), strict=True)
    assert columns(members([trained(*names), trained(*ids)], names, only=False)) == [None, None]


def test_networks_without_names_are_compared_by_number(capsys):
    nets = [trained("cat", "dog"), trained("0", "1", trained=False)]
    assert columns(members(nets, ("cat", "dog"), only=False)) == [None, None]
    assert "the network does not name its classes; compared by number" in capsys.readouterr().out


def test_only_the_classes_of_the_data_set_are_compared():
    nets = [trained("cat", "dog", "eel"), trained("fox", "eel", "cat", "gnu")]
    assert columns(members(nets, ("eel", "cat"), only=True)) == [(2, 0), (1, 2)]


REFUSED = {
    "another class": (("cat", "fox"), False, "catf.keras: the network has no class 'dog'"),
    "more classes": (("cat", "dog", "eel"), False, "catd.keras has 3 classes, and 2 are compared"),
    "one output": (("cat",), False, "cat.keras: the network has one output, 'cat'"),
    "a class too few": (("cat", "fox"), True, "catf.keras: the network has no class 'dog'"),
}


def test_a_class_alone_cannot_be_all_that_is_compared():
    with pytest.raises(ValueError, match="--only_classes would leave one class, 'eel'"):
        members([trained("cat", "eel")], ("eel",), only=True)


@pytest.mark.parametrize("case", REFUSED)
def test_classes_that_do_not_agree_are_refused(case):
    names, only, told = REFUSED[case]
    with pytest.raises(ValueError, match=told):
        members([trained("cat", "dog"), trained(*names)], ("cat", "dog"), only=only)
