"""Who decides what a file of weights holds: the user, the file, its shapes, or a convention."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_resnet import resnet, weights
from keras_resnet.manifest import Manifest
from keras_resnet.preprocessing import MODES, Preprocessing, mode
from keras_resnet.specs import differences
from keras_resnet.weights.sources import torchvision
from tests.support import foreign, variants
from tests.support.products import crossed

BOTTLENECK = {"repeats": (1, 1, 1, 1), "stem": ((7, 8, 2),), "classes": 5}


def network(name: str = "resnet50_v1_5", **fields) -> keras.Model:
    model = resnet(name, **{"classifier_activation": None, **BOTTLENECK, **fields})
    variants.randomize(model)
    return model


def same(one: keras.Model, other: keras.Model, channels: int = 3) -> None:
    x = variants.images(2, 64, 48, channels)
    expected = np.asarray(other(x))
    np.testing.assert_allclose(one(x), expected, atol=1e-5 * np.abs(expected).max())


STEMS = {
    "3x3 that pools": {"stem": ((3, 8, 1),), "stem_pool": "symmetric"},
    "3x3 that strides": {"stem": ((3, 8, 2),), "stem_pool": None},
    "3x3 of CIFAR": {"stem": ((3, 8, 1),), "stem_pool": None},
    "5x5": {"stem": ((5, 8, 2),), "stem_pool": "ceil"},
}


@pytest.mark.parametrize("stem", STEMS.values(), ids=STEMS)
def test_a_stem_of_no_published_network_is_asked_for(stem, tmp_path) -> None:
    """Neither names nor shapes tell whether it strides and pools, or where a branch strides."""
    made = network(**stem)
    file = foreign.safetensors(made, tmp_path / "a.safetensors")
    with pytest.raises(weights.Undecided) as caught:
        resnet.from_weights(file)
    (kernel, filters, _), *_ = stem["stem"]
    for choice in (
        f"stem=(({kernel}, {filters}, 1),) or stem=(({kernel}, {filters}, 2),)",
        "stem_pool='symmetric' or stem_pool='ceil' or stem_pool=None",
        "stride_on='first' or stride_on='3x3'",
        "name the network",
    ):
        assert choice in str(caught.value)
    said = {**stem, "stride_on": "3x3", "classifier_activation": None}
    same(resnet.from_weights(file, **said), made)
    fields = {**BOTTLENECK, **stem, "classifier_activation": None}
    same(resnet("resnet50_v1_5", weights=file, **fields), made)


OTHERWISE = {
    "Caffe's": {"stride_on": "first"},
    "without pooling": {"stem_pool": None},
    "pooled as Caffe": {"stem_pool": "ceil"},
    "padded as TensorFlow": {"padding": "same"},
    "with a stem that does not stride": {"stem": ((7, 8, 1),)},
}


@pytest.mark.parametrize("said", OTHERWISE.values(), ids=OTHERWISE)
def test_torchvisions_names_are_everybodys(said, tmp_path, caplog) -> None:
    """What is usual for them is assumed, recorded and shown; who says something else is heard."""
    made = network(**said)
    file = foreign.safetensors(made, tmp_path / "a.safetensors")
    usual = resnet.from_weights(file, classifier_activation=None)
    [field] = said
    assert usual.manifest.assumed[field] == "torchvision"
    assert f"{field}=" in caplog.text
    assert "for what differs" in caplog.text
    found = resnet.from_weights(file, classifier_activation=None, **said)
    assert field not in found.manifest.assumed
    same(found, made)
    fields = {**BOTTLENECK, **said, "classifier_activation": None}
    same(resnet("resnet50_v1_5", weights=file, **fields), made)
    with pytest.raises(ValueError, match=r"stride_on='3x3' in the file, not 'first'"):
        resnet("resnet50", weights=file, **BOTTLENECK)  # a name says less than a field


def test_a_file_that_is_known_by_its_hash_assumes_nothing(tmp_path, monkeypatch) -> None:
    file = foreign.safetensors(network(), tmp_path / "a.safetensors")
    assumed = weights.read_manifest(file).assumed
    assert {"preprocessing", "stem", "stem_pool", "stride_on", "activation"} <= set(assumed)
    digest = weights.read_manifest(file).source["sha256"]
    monkeypatch.setattr(torchvision, "FIRST", (digest[:8],))
    known = weights.read_manifest(file)
    assert (known.assumed, known.preprocessing) == ({}, mode("torch", crop=0.875))


def test_the_known_hashes_are_those_of_torchvision() -> None:
    """Its own file names carry them."""
    from tests.support import torch_nets

    assert set(torchvision.FIRST + torchvision.SECOND) <= torch_nets.published_hashes()


def test_pixels_of_a_network_that_no_source_publishes_are_not_known(tmp_path) -> None:
    """A network for CIFAR under torchvision's names got ImageNet's size, crop and means."""
    made = resnet("resnet20", repeats=(1, 1, 1), shortcut="B", classifier_activation=None)
    file = foreign.safetensors(made, tmp_path / "a.safetensors")
    found = resnet("resnet8", shortcut="B", weights=file)
    assert not hasattr(found, "preprocessing")
    assert found.manifest.image_shape == (32, 32, 3)
    told = Preprocessing(mean=(1.0, 2.0, 3.0), std=(4.0,), image_size=28, crop=1.0)
    fields = {"stem": ((3, 16),), "stem_pool": None}
    assert resnet.from_weights(file, preprocessing=told, **fields).preprocessing == told
    named = resnet("resnet8", shortcut="B", weights=file, preprocessing="tf")
    assert named.preprocessing == mode("tf", image_size=32, crop=1.0)
    with pytest.raises(ValueError, match="preprocessing must be one of"):
        resnet("resnet8", shortcut="B", weights=file, preprocessing="imagenet")
    with pytest.raises(ValueError, match="preprocessing cannot be given without weights"):
        resnet("resnet8", preprocessing="tf")


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_channels_are_those_of_a_file(channels: int, tmp_path, caplog) -> None:
    made = network(input_shape=(None, None, channels))
    file = foreign.safetensors(made, tmp_path / "a.safetensors")
    found = resnet.from_weights(file, classifier_activation=None)
    assert found.input_shape == (None, None, None, channels)
    same(found, made, channels)
    assert not hasattr(found, "preprocessing")  # torchvision has no such network
    assert "adapted" not in caplog.text
    named = resnet("resnet50_v1_5", weights=file, **BOTTLENECK, classifier_activation=None)
    same(named, made, channels)
    with pytest.raises(ValueError, match=rf"mean has 3 channels.*network have {channels}:"):
        resnet.from_weights(file, preprocessing="torch")


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_our_own_files_keep_their_channels_and_means(suffix: str, tmp_path) -> None:
    scaling = Preprocessing(mean=33.0, image_size=32, crop=1.0)
    manifest = Manifest("resnet8", (32, 32, 1), tuple("0123456789"), scaling)
    weights.save(resnet("resnet8", input_shape=(32, 32, 1)), tmp_path / f"a{suffix}", manifest)
    found = resnet.from_weights(tmp_path / f"a{suffix}")
    assert (found.input_shape[-1], found.preprocessing.mean) == (1, 33.0)
    colour = resnet.from_weights(tmp_path / f"a{suffix}", input_shape=(None, None, 3))
    assert colour.input_shape[-1] == 3  # who says it gets it, with the mean of all


def saved(model: keras.Model, file: Path) -> Path:
    model.save_weights(file) if file.name.endswith(".weights.h5") else model.save(file)
    return file


HEADS = [(5, "softmax"), (1, "sigmoid"), (5, None), (3, "tanh"), (5, "sigmoid"), (1, None)]


@crossed("head,suffix", HEADS, [".keras", ".h5", ".weights.h5"])
def test_files_that_keras_saved_say_what_they_are(head, suffix, tmp_path) -> None:
    """Fields, channels, size of images, classes and head, without a manifest."""
    classes, activation = head
    made = resnet(
        "resnet8_v2",
        classes=classes,
        input_shape=(24, 40, 4),
        padding="same",
        classifier_activation=activation,
    )
    variants.randomize(made)
    file = saved(made, tmp_path / f"a{suffix}")
    if (suffix, activation) == (".weights.h5", "tanh"):
        return  # nothing in it says so
    found = resnet.from_weights(file)
    x = variants.images(2, 24, 40, 4)
    np.testing.assert_allclose(found(x), made(x), atol=1e-6)
    assert found.spec == made.spec
    assert found.manifest.image_shape == (24, 40, 4)
    assert found.manifest.activation == {None: "none", "tanh": None}.get(activation, activation)
    assert not hasattr(found, "preprocessing")
    logits = resnet.from_weights(file, classifier_activation=None)
    assert logits.layers[-1].name == "logits"
    with pytest.raises(ValueError, match="padding='same' in the file, not 'symmetric'"):
        resnet("resnet8_v2", weights=file, classes=classes)


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_a_file_without_a_classifier_is_a_network_without_one(suffix, tmp_path, caplog) -> None:
    made = resnet("resnet8", include_top=False, pooling="avg")
    variants.randomize(made)
    file = saved(made, tmp_path / f"a{suffix}")
    found = resnet.from_weights(file, pooling="avg")
    x = variants.images(2, 32, 32, 3)
    np.testing.assert_allclose(found(x), made(x), atol=1e-6)
    with pytest.raises(ValueError, match=r"missing are \['logits/kernel', 'logits/bias'\]"):
        resnet.from_weights(file, include_top=True)
    assert "the classifier is not loaded" not in caplog.text
    tuned = resnet.from_weights(file, classes=3)  # a classifier that somebody will train
    assert tuned.output_shape == (None, 3)
    assert "the classifier is not loaded" in caplog.text


def test_a_layer_before_or_behind_the_network_is_not_left_out(tmp_path) -> None:
    image = keras.Input((32, 32, 3))
    scaled = keras.layers.Rescaling(1 / 127.5, -1)(image)
    resnet("resnet8", input_tensor=scaled).save(tmp_path / "a.keras")
    with pytest.raises(ValueError, match=r"layers that this network does not have: rescaling"):
        resnet.from_weights(tmp_path / "a.keras")
    inner = resnet("resnet8", include_top=False, pooling="avg")
    keras.Sequential([inner, keras.layers.Dense(3)]).save(tmp_path / "b.keras")
    with pytest.raises(ValueError, match=r"b\.keras.*resnet8.*save that model by itself"):
        resnet.from_weights(tmp_path / "b.keras")


KINDS = {
    "option A around": {"zero_channels": "around"},
    "plain": {"shortcut": None},
    "v1.5 with Caffe's pooling": {
        "branch": ((1, 1), (3, 1), (1, 4)),
        "stride_on": "3x3",
        "shortcut": "B",
        "stem": ((7, 4, 2),),
        "stem_pool": "ceil",
    },
    "v2 of keras.applications": {
        "branch": ((1, 1), (3, 1), (1, 4)),
        "stride_on": "3x3",
        "shortcut": "B",
        "preact": True,
        "stride_block": "last",
        "stem_norm": False,
        "repeats": (2, 2, 1),
        "stem_pool": "symmetric",
    },
    "D": {"shortcut": "D", "stem": ((3, 4, 2), (3, 4), (3, 8)), "stem_pool": "symmetric"},
    "padded as TensorFlow, C": {"padding": "same", "shortcut": "C"},
    "dilated": {"output_stride": 2, "shortcut": "B"},
}


@crossed("kind,suffix", KINDS, [".keras", ".h5"])
def test_a_model_around_our_layers_shows_its_fields(kind: str, suffix: str, tmp_path) -> None:
    """A backbone, a classifier of one's own, `keras.Model`: the usual way to fine-tune in Keras."""
    fields = {**KINDS[kind], "include_top": False, "pooling": "avg"}
    base = resnet("resnet8", **fields, input_shape=(None, None, 3))
    kept = keras.layers.Dropout(0.3)(base.output)
    made = keras.Model(base.input, keras.layers.Dense(4, "sigmoid", name="mine")(kept))
    variants.randomize(made)
    made.save(tmp_path / f"a{suffix}")
    found = resnet.from_weights(tmp_path / f"a{suffix}")
    assert differences(found.spec, base.spec) == ()
    assert found.spec.output_stride == base.spec.output_stride
    assert found.manifest.activation == "sigmoid"
    x = variants.images(2, 40, 48, 3)
    np.testing.assert_allclose(found(x), made(x), atol=1e-6)


def test_other_poolings_and_heads_are_not_ours(tmp_path) -> None:
    base = resnet("resnet8", include_top=False, pooling="max", input_shape=(32, 32, 3))
    keras.Model(base.input, keras.layers.Dense(4)(base.output)).save(tmp_path / "a.keras")
    with pytest.raises(ValueError, match="max pooling instead of average pooling"):
        resnet.from_weights(tmp_path / "a.keras")
    base = resnet("resnet8", include_top=False, pooling="avg", input_shape=(32, 32, 3))
    hidden = keras.layers.Dense(64, "relu", name="hidden")(base.output)
    keras.Model(base.input, keras.layers.Dense(4)(hidden)).save(tmp_path / "b.keras")
    with pytest.raises(ValueError, match=r"also contains \['hidden/bias', 'hidden/kernel'\]"):
        resnet.from_weights(tmp_path / "b.keras")


@crossed("ending,suffix", ["softmax", "sigmoid", None], [".keras", ".h5"])
def test_heads_of_keras_applications_are_those_of_their_files(ending, suffix, tmp_path) -> None:
    made = keras.applications.ResNet50(
        weights=None, classes=3, classifier_activation=ending, input_shape=(40, 48, 3)
    )
    made.save(tmp_path / f"a{suffix}")
    found = resnet.from_weights(tmp_path / f"a{suffix}")
    x = variants.images(1, 40, 48, 3)
    np.testing.assert_allclose(found(x), made(x), atol=1e-4)
    assert found.manifest.activation == (ending or "none")
    assert found.manifest.image_shape == (40, 48, 3)
    assert found.manifest.assumed["preprocessing"] == "keras_applications"
    assert found.preprocessing.mean == MODES["caffe"].mean


def test_a_softmax_of_one_output_is_refused() -> None:
    with pytest.raises(ValueError, match="a softmax of one output is always 1"):
        resnet("resnet8", classes=1)


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_files_of_version_0_1_meant_softmax(suffix: str, tmp_path, monkeypatch) -> None:
    """Their manifests say nothing of the head, and their networks end in logits."""
    scaling = mode("tf", image_size=32, crop=1.0)
    manifest = Manifest("resnet8", (32, 32, 3), tuple("0123456789"), scaling)
    old = {k: v for k, v in json.loads(manifest.to_json()).items() if k not in NEW}
    monkeypatch.setattr(Manifest, "to_json", lambda self: json.dumps(old))
    model = resnet("resnet8", classifier_activation=None)
    variants.randomize(model)
    weights.save(model, tmp_path / f"a{suffix}", manifest)
    monkeypatch.undo()
    found = resnet.from_weights(tmp_path / f"a{suffix}")
    assert found.manifest.activation == "softmax"
    x = variants.images(2, 32, 32, 3)
    np.testing.assert_allclose(found(x), keras.ops.softmax(model(x)), atol=1e-6)


NEW = ("activation", "assumed")
