"""Saving leaves a model as it is, and refuses what could not be read back; legacy files too."""

import json
import zipfile
from dataclasses import replace

import keras
import numpy as np
import pytest

from keras_resnet import resnet, weights
from keras_resnet.family import spec
from keras_resnet.preprocessing import mode
from keras_resnet.rewrite.int8 import quantized
from tests.support import helpers, variants
from tests.support.saved_networks import SUFFIXES, manifest, network

BAD = {  # a change of the manifest, and words of the message
    "labels": ({"labels": ("a", "b")}, "2 labels for 10 outputs"),
    "channels": ({"image_shape": (32, 32, 1)}, "(32, 32, 1) for a network of 3 channels"),
    "size": ({"image_shape": (64, 64, 3)}, "(64, 64, 3) with preprocessing to (32, 32)"),
    "sides": (
        {"preprocessing": mode("torch", image_size=(32, 48))},
        "(32, 32, 3) with preprocessing to (32, 48)",
    ),
    "network": ({"network": "resnet50"}, "branch="),
    "field": ({"fields": {"repeats": [1, 1, 2]}}, "repeats=(1, 1, 2) for a network of (1, 1, 1)"),
    "shortcut": ({"fields": {"repeats": [1, 1, 1], "shortcut": "B"}}, "shortcut='B' for"),
    "unknown": ({"network": "resnet51"}, "unknown network 'resnet51'"),
    "no field": ({"fields": {"blocks": 3}}, "unknown argument blocks"),
    "classes": ({"fields": {"repeats": [1, 1, 1], "classes": 10}}, "unknown argument classes"),
}
each = pytest.mark.parametrize(("changes", "words"), BAD.values(), ids=BAD)


def refused(call) -> str:
    with pytest.raises(ValueError, match="the manifest does not fit resnet8: ") as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    return message


@each
def test_a_manifest_that_does_not_fit_is_not_saved(changes, words: str, tmp_path) -> None:
    model, bad = network(), manifest(**changes)
    for suffix in SUFFIXES:
        assert words in refused(
            lambda suffix=suffix: weights.save(model, tmp_path / f"a{suffix}", bad)
        )
    model.manifest = bad
    (tmp_path / "old.h5").write_bytes(b"old")
    for call in (
        lambda: weights.save(model, tmp_path / "a.weights.h5"),
        lambda: model.save(tmp_path / "a.keras"),
        lambda: model.save(tmp_path / "old.h5"),
        lambda: model.save_weights(tmp_path / "a.weights.h5"),
        model.get_config,
    ):
        assert words in refused(call)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_what_differs_only_in_the_computation_is_saved(tmp_path) -> None:
    model = network(stochastic_depth=0.3)
    weights.save(model, tmp_path / "a.weights.h5", manifest())
    assert weights.read_manifest(tmp_path / "a.weights.h5") == manifest()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_saving_does_not_change_the_model(suffix: str, tmp_path) -> None:
    model, own = network(), manifest(training={"recipe": "own"})
    for held in (None, own):
        model.manifest = held
        weights.save(model, tmp_path / f"a{suffix}", manifest())
        assert model.manifest is held
        assert weights.read_manifest(tmp_path / f"a{suffix}") == manifest()
        with pytest.raises(FileNotFoundError):
            weights.save(model, tmp_path / f"absent/a{suffix}", manifest())
        assert model.manifest is held


def test_a_keras_file_states_its_architecture_once(tmp_path) -> None:
    """In the manifest if there is one; fields that change no weights are in it, too."""
    fields = {"stochastic_depth": 0.3, "output_stride": 2}
    for known in (None, manifest()):
        model = network(**fields)
        model.manifest = known
        model.save(tmp_path / "a.keras")
        with zipfile.ZipFile(tmp_path / "a.keras") as archive:
            config = json.loads(archive.read("config.json"))["config"]
        assert [bool(config[name]) for name in ("spec", "manifest")] == [not known, bool(known)]
        loaded = keras.models.load_model(tmp_path / "a.keras")
        assert loaded.spec == model.spec == spec("resnet8", **fields)
        assert loaded.endpoints == config["endpoints"] == model.endpoints
        assert loaded.parts == model.parts


def test_a_manifest_is_a_manifest(tmp_path) -> None:
    with pytest.raises(TypeError, match="Manifest, got"):
        weights.save(network(), tmp_path / "a.keras", {"labels": 3})


def test_what_a_quantized_network_is_goes_into_its_file(tmp_path) -> None:
    model = quantized(network())
    model(variants.images(2, 32, 32, 3), training=True)
    weights.save(model, tmp_path / "a.keras", manifest())
    assert weights.read_manifest(tmp_path / "a.keras") == manifest(quantized="int8")
    model.manifest = manifest()
    with pytest.raises(ValueError, match="quantized='' for a network of quantized='int8'"):
        model.save(tmp_path / "b.keras")


def test_the_preprocessing_of_a_network_knows_its_channels() -> None:
    scaling = mode("tf", image_size=32, crop=1.0)
    for channels, other in ((1, 3), (3, 1)):
        model = network(input_shape=(32, 32, channels))
        model.manifest = manifest(preprocessing=scaling, image_shape=(32, 32, channels))
        assert model.preprocessing == scaling
        found = model.preprocessing(np.full((2, 40, 40, other), 100, np.uint8))
        assert found.shape == (2, 32, 32, channels)
        assert model(found).shape == (2, 10)


def old_files(folder) -> dict[str, keras.Model]:
    """Networks with each kind of layer of this package, saved as Keras 2 did."""
    models = {
        "resnet8": resnet("resnet8", input_shape=(32, 32, 3)),
        "plain": resnet("resnet8", shortcut=None),
        "padded": resnet("resnet8", zero_channels="around", stochastic_depth=0.1),
        "quantized": quantized(resnet("resnet8_v2")),
        "nested": keras.Sequential([keras.Input((32, 32, 3)), resnet("resnet8")]),
        "pixels": resnet(
            "resnet8",
            input_tensor=mode("tf", image_size=32)(keras.Input((None, None, 3), name="pixels")),
        ),
    }
    for name, model in models.items():
        variants.randomize(model)
        model(variants.images(2, 32, 32, 3), training=name == "quantized")
        model.save(folder / f"{name}.h5")
    return models


AGAIN = """
import sys
import keras, numpy as np
import keras_resnet
folder, *names = sys.argv[1:]
for name in names:
    model = keras.models.load_model(f"{folder}/{name}.h5")
    np.save(f"{folder}/{name}.npy", model(np.load(f"{folder}/x.npy")))
"""


def test_legacy_h5_files_of_keras_are_loaded(tmp_path) -> None:
    models, x = old_files(tmp_path), variants.images(2, 32, 32, 3)
    np.save(tmp_path / "x.npy", x)
    done = helpers.python("-c", AGAIN, str(tmp_path), *models)
    assert done.returncode == 0, done.stderr
    for name, model in models.items():
        expected = np.asarray(model(x))
        assert np.isfinite(expected).all()
        again = keras.models.load_model(tmp_path / f"{name}.h5")
        np.testing.assert_array_equal(again(x), expected, err_msg=name)
        np.testing.assert_array_equal(np.load(tmp_path / f"{name}.npy"), expected, err_msg=name)
        if name != "nested":
            assert again.spec == model.spec


def test_legacy_h5_files_keep_the_manifest(tmp_path) -> None:
    model = network()
    model.manifest = replace(manifest(), labels=tuple("qwertyuiop"))
    model.save(tmp_path / "a.h5")
    assert keras.models.load_model(tmp_path / "a.h5").manifest == model.manifest
