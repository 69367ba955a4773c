"""Good weights of another network: the error says what differs, and what to do."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_resnet import resnet, weights
from keras_resnet.specs import differences
from tests.support import samples


def refusal(call, *names: str) -> None:
    """Checks that the call is refused in words that hold all of these."""
    with pytest.raises(ValueError, match=re.escape(names[0])) as caught:
        call()
    for name in names:
        assert name in str(caught.value)


def needs(file: Path, source: str, *words: str, **fields) -> None:
    """Checks both doors for a network that differs from the sample's in these fields."""
    wanted = {**samples.NETWORKS[source], **fields}
    refusal(lambda: resnet(**wanted, weights=file), file.name, *words)
    model = resnet(**wanted)
    before = model.get_weights()
    refusal(lambda: weights.load(model, file), file.name, *words)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_v1_5_is_no_v1(tmp_path) -> None:
    file = samples.safetensors(tmp_path / "a.safetensors")
    words = ("stride_on='3x3' in the file, not 'first'", "from_weights")
    needs(file, "torchvision", *words, network="resnet50")
    assert resnet.from_weights(file).spec.stride_on == "3x3"


FIELDS = [
    ("new.pth", {"shortcut": "B"}, "shortcut='A' in the file, not 'B'"),
    ("new.pth", {"preact": True}, "preact=False in the file, not True"),
    ("new.pth", {"repeats": (1, 1, 2)}, "repeats=(1, 1, 1) in the file, not (1, 1, 2)"),
    ("plain.npz", {"shortcut": "A"}, "shortcut='B' in the file, not 'A'"),
    (
        "a.pkl",
        {"stem": ((7, 8, 2),)},
        "stem=(Conv(kernel=7, filters=4, stride=2),) in the file, not",
    ),
    ("a.weights.h5", {"branch": ((3, 2), (3, 1))}, "branch=(Conv(kernel=3, filters=1, stride=1)"),
    ("a.keras", {"repeats": (2, 1, 1)}, "repeats=(1, 1, 1) in the file, not (2, 1, 1)"),
    ("a.keras", {"padding": "same"}, "padding='symmetric' in the file, not 'same'"),
]


@pytest.mark.parametrize(("name", "fields", "word"), FIELDS)
def test_fields_that_a_file_proves_wrong_are_named(name: str, fields, word: str, tmp_path) -> None:
    write, source = samples.FORMATS[name]
    needs(write(tmp_path / name), source, word, "from_weights", **fields)


USUAL = [
    ("new.pth", {"zero_channels": "after"}, "zero_channels='around' in the file, not 'after'"),
    ("new.pth", {"shortcut": None}, "shortcut='A' in the file, not None"),
    ("plain.npz", {"padding": "symmetric"}, "padding='same' in the file, not 'symmetric'"),
    ("a.caffemodel", {"stem_pool": "symmetric"}, "stem_pool='ceil' in the file, not 'symmetric'"),
    ("a.caffemodel", {"stem_pool": None}, "stem_pool='ceil' in the file, not None"),
    ("a.pkl", {"stride_on": "3x3"}, "stride_on='first' in the file, not '3x3'"),
    ("a.safetensors", {"stride_on": "first"}, "stride_on='3x3' in the file, not 'first'"),
    ("a.safetensors", {"stem": ((7, 4, 1),)}, "stride=2),) in the file, not"),
]


@pytest.mark.parametrize(("name", "fields", "word"), USUAL)
def test_who_says_a_field_knows_better_than_what_is_usual(
    name: str, fields, word: str, tmp_path
) -> None:
    """Names and shapes do not tell: a convention does, where nobody says anything else."""
    write, source = samples.FORMATS[name]
    file, wanted = write(tmp_path / name), {**samples.NETWORKS[source], **fields}
    said = resnet(**wanted, weights=file, classifier_activation=None)
    there = resnet.from_weights(file, classifier_activation=None, **fields)
    expected = resnet(**wanted, classifier_activation=None)
    assert differences(said.spec, expected.spec) == differences(there.spec, expected.spec) == ()
    # A model that is there says what it is, which is less than to say what the weights are.
    refusal(lambda: weights.load(expected, file), file.name, word, "from_weights")
    weights.load(expected, file, expected.spec)
    for one, two, three in zip(*(m.get_weights() for m in (said, there, expected)), strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one, three)


def test_all_fields_that_differ_are_named_at_once(tmp_path) -> None:
    file = samples.npz(tmp_path / "a.npz")
    fields = {"shortcut": "A", "preact": True, "repeats": (1, 1, 2)}
    needs(file, "robinc94", "shortcut=", "preact=", "repeats=", **fields)


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_what_a_silent_file_proves_is_compared(suffix: str, tmp_path) -> None:
    """Files of plain Keras say no fields, so that layers are all there is to compare."""
    file, model = tmp_path / f"a{suffix}", samples.build("keras_resnet")
    plain = keras.Model(model.input, model.output)
    plain.save(file) if suffix == ".keras" else plain.save_weights(file)
    needs(file, "keras_resnet", "repeats=(1, 1, 1) in the file, not (1, 1, 2)", repeats=(1, 1, 2))
    needs(file, "keras_resnet", "repeats=(1, 1, 1) in the file, not (1, 1)", repeats=(1, 1))
    needs(file, "keras_resnet", "stem=", "in the file, not", stem=((3, 8),))


@pytest.mark.parametrize("name", samples.FORMATS)
def test_classes_are_those_of_the_model_that_is_filled(name: str, tmp_path) -> None:
    """`load` fills all of a model; only `resnet` knows that a fresh classifier is wanted."""
    write, source = samples.FORMATS[name]
    file, model = write(tmp_path / name), samples.build(source, classes=7)
    before = model.get_weights()
    refusal(lambda: weights.load(model, file), file.name, "logits/", "10", "7")
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_unknown_sources_are_refused_with_the_known_ones(tmp_path) -> None:
    file = samples.npz(tmp_path / "a.npz")
    for call in (
        lambda: resnet.from_weights(file, source="torch"),
        lambda: resnet("resnet20", weights=file, source="torch"),
        lambda: weights.load(samples.build("robinc94"), file, source="torch"),
    ):
        refusal(call, "source must be one of", "got 'torch'", *weights.SOURCES)


@pytest.mark.parametrize("name", samples.FORMATS)
def test_other_sources_do_not_know_the_names(name: str, tmp_path) -> None:
    write, source = samples.FORMATS[name]
    file, model = write(tmp_path / name), samples.build(source)
    weights.load(model, file, source=source)
    for other in weights.SOURCES:
        if other == source or (source, other) == ("torchvision", "timm"):
            continue  # they share their names
        for call in (
            lambda other=other: resnet.from_weights(file, source=other, shortcut="A"),
            lambda other=other: weights.load(model, file, source=other),
        ):
            refusal(call, file.name, other)


@pytest.mark.parametrize("name", samples.FORMATS)
def test_a_part_of_a_model_gets_what_the_whole_gets_or_nothing(name: str, tmp_path) -> None:
    """A plain Keras model does not say what it was built from, which others' weights need."""
    write, source = samples.FORMATS[name]
    file, whole = write(tmp_path / name), samples.build(source)
    part = keras.Model(whole.input, whole.get_layer("pool").output)
    before = whole.get_weights()
    if source == "keras_resnet":
        weights.load(part, file)
        return
    refusal(lambda: weights.load(part, file), file.name, "spec")
    for one, other in zip(before, whole.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    weights.load(part, file, whole.spec)
    expected = resnet.from_weights(file, include_top=False, pooling="avg")
    for one, other in zip(part.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
