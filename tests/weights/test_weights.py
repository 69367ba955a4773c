"""Files of weights, their manifests, and what command lines say of both."""

import json
import warnings
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from keras_resnet import resnet, weights
from keras_resnet.manifest import Manifest
from keras_resnet.preprocessing import per_pixel
from tests.support import variants
from tests.support.saved_networks import SUFFIXES, TINY, manifest, network, same
from tests.support.variants import images

both = pytest.mark.parametrize("suffix", SUFFIXES)


@both
def test_what_is_saved_is_loaded(suffix: str, tmp_path) -> None:
    model, file, x = network(), tmp_path / f"some{suffix}", images(2, 32, 32, 3)
    weights.save(model, file, manifest())
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    loaded = resnet("resnet20", weights=str(file), **TINY)
    np.testing.assert_array_equal(loaded(x), model(x))
    assert same(weights.read_manifest(file), manifest())
    if suffix == ".keras":
        np.testing.assert_array_equal(keras.saving.load_model(file)(x), model(x))
    else:
        model.load_weights(file)  # Keras itself reads it, whatever else is inside


@both
def test_a_manifest_may_hold_a_mean_image(suffix: str, tmp_path) -> None:
    """224 x 224 x 3 numbers are more than an attribute of HDF5 can hold."""
    mean = np.random.default_rng(0).uniform(0, 255, (224, 224, 3))
    big = manifest(preprocessing=per_pixel(mean), image_shape=(224, 224, 3))
    file = tmp_path / f"big{suffix}"
    weights.save(network(), file, big)
    found = weights.read_manifest(file)
    np.testing.assert_allclose(found.preprocessing.mean, mean, atol=1e-3)
    assert found.preprocessing.image_size == 224


@both
def test_saving_replaces_a_file_at_once(suffix: str, tmp_path, monkeypatch) -> None:
    model, file = network(), tmp_path / f"some{suffix}"
    weights.save(model, file, manifest())
    before = file.read_bytes()
    monkeypatch.setattr(Manifest, "to_json", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        weights.save(model, file, manifest())
    assert file.read_bytes() == before


@both
def test_files_of_others_have_no_manifest(suffix: str, tmp_path) -> None:
    model, file = network(), tmp_path / f"other{suffix}"
    save_silently(model, file)
    found = weights.read_manifest(file)  # a `.keras` shows at least what it computes
    assert found is None if suffix == ".weights.h5" else found.preprocessing is None
    weights.load(network(), file)


@pytest.mark.parametrize(
    "fields", [{"stochastic_depth": 0.3}, {"zero_gamma": True}, {"output_stride": 1}], ids=str
)
def test_weights_fit_where_only_the_computation_differs(fields, tmp_path) -> None:
    trained_so, plainly = network(**fields), network()
    variants.copy(plainly, trained_so)
    weights.save(trained_so, tmp_path / "a.weights.h5", manifest())
    loaded, x = network(), images(1, 32, 32, 3)
    variants.randomize(loaded, seed=9)
    weights.load(loaded, tmp_path / "a.weights.h5")
    for file_of in ({}, fields):
        built = resnet("resnet20", weights=tmp_path / "a.weights.h5", **{**TINY, **file_of})
        if "output_stride" not in file_of:
            np.testing.assert_array_equal(built(x), plainly(x))
    np.testing.assert_array_equal(loaded(x), plainly(x))


@both
@pytest.mark.parametrize("told", [True, False], ids=["manifest", "silent"])
@pytest.mark.parametrize(
    "fields",
    [
        {"repeats": (1, 1, 2)},  # one block too many
        {"repeats": (1, 1)},
        {"repeats": (2, 1, 1)},
        {"shortcut": "B"},
        {"stem": ((5, 16),)},
        {"branch": ((1, 1), (3, 1), (1, 4))},
    ],
    ids=str,
)
def test_weights_of_another_network_are_refused(fields, told: bool, suffix, tmp_path) -> None:
    model, file = network(**fields), tmp_path / f"foreign{suffix}"
    if told:
        weights.save(model, file, manifest(fields={**manifest().fields, **fields}))
    else:
        save_silently(model, file)
    with warnings.catch_warnings():
        # As in a user's program: Keras may warn of what it skips, and that is no refusal.
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match=r"foreign"):
            resnet("resnet20", weights=str(file), **TINY)


def save_silently(model: keras.Model, file: Path) -> None:
    """As a model that Keras alone knows."""
    model = keras.Model(model.input, model.output)
    model.save(file) if file.suffix == ".keras" else model.save_weights(file)


@both
def test_equal_weights_that_mean_another_network_are_refused(suffix: str, tmp_path) -> None:
    """v1 and v1.5 hold the same shapes; only the manifest can tell them apart."""
    bottleneck = {"branch": ((1, 1), (3, 1), (1, 4))}
    file = tmp_path / f"v1{suffix}"
    fields = {"repeats": [1, 1, 1], "branch": [[1, 1], [3, 1], [1, 4]]}
    weights.save(network(**bottleneck), file, manifest(fields=fields))
    loaded = resnet("resnet20", weights=str(file), **TINY, **bottleneck)
    assert loaded.count_params() == network(**bottleneck).count_params()
    with pytest.raises(ValueError, match="stride_on='first' in the file, not '3x3'"):
        resnet("resnet20", weights=str(file), stride_on="3x3", **TINY, **bottleneck)


@both
def test_weights_fit_a_network_without_its_classifier(suffix: str, tmp_path) -> None:
    whole, file, x = network(), tmp_path / f"whole{suffix}", images(1, 32, 32, 3)
    weights.save(whole, file, manifest())
    pooled = resnet("resnet20", weights=str(file), include_top=False, pooling="avg", **TINY)
    expected = keras.Model(whole.input, whole.get_layer("pool").output)(x)
    np.testing.assert_array_equal(pooled(x), expected)


@both
@pytest.mark.parametrize("share", [0.0, 0.5, 0.98])
def test_truncated_files_are_refused(suffix: str, share: float, tmp_path) -> None:
    whole, file = tmp_path / f"whole{suffix}", tmp_path / f"part{suffix}"
    weights.save(network(), whole, manifest())
    content = whole.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"part.*cannot be read"):
        weights.load(network(), file)
    with pytest.raises(ValueError, match=r"part.*cannot be read"):
        weights.read_manifest(file)


@both
def test_damaged_manifests_are_refused(suffix: str, tmp_path, monkeypatch) -> None:
    for i, told in enumerate((7, {"network": "resnet20"}, [1])):
        file = tmp_path / f"{i}{suffix}"
        monkeypatch.setattr(Manifest, "to_json", lambda self, told=told: json.dumps(told))
        weights.save(network(), file, manifest())
        with pytest.raises(ValueError, match=rf"{i}{suffix} cannot be read"):
            weights.read_manifest(file)


@pytest.mark.parametrize("name", ["a.h5", "a.pth", "a.weights"])
def test_other_suffixes_are_refused(name: str, tmp_path) -> None:
    with pytest.raises(ValueError, match=r"\.weights\.h5 or \.keras") as caught:
        weights.save(network(), tmp_path / name, manifest())
    assert name in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"x", b"{}" * 99, b"\0" * 999], ids=len)
def test_files_of_no_known_format_are_refused(content: bytes, tmp_path) -> None:
    file = tmp_path / "a.keras"
    file.write_bytes(content)
    for call in (lambda: weights.load(network(), file), lambda: weights.read_manifest(file)):
        with pytest.raises(ValueError, match=r"a\.keras cannot be read: .*safetensors"):
            call()


@both
def test_classes_are_those_of_the_weights_unless_others_are_wanted(
    suffix, tmp_path, caplog
) -> None:
    model, file, x = network(classes=7), tmp_path / f"seven{suffix}", images(2, 32, 32, 3)
    weights.save(model, file, manifest(labels=tuple("abcdefg")))
    for classes in (None, 7):
        loaded = resnet("resnet20", weights=str(file), classes=classes, **TINY)
        np.testing.assert_array_equal(loaded(x), model(x))
    assert caplog.messages == []
    fresh = resnet("resnet20", weights=str(file), classes=4, **TINY)
    assert fresh.output_shape == (None, 4)
    assert fresh.manifest.labels == tuple("0123")
    assert [message for message in caplog.messages if "the classifier is not loaded" in message]
    pools = [keras.Model(net.input, net.get_layer("pool").output)(x) for net in (model, fresh)]
    np.testing.assert_array_equal(*pools)


@both
def test_missing_files_are_named(suffix: str, tmp_path) -> None:
    for call in (lambda f: weights.load(network(), f), weights.read_manifest):
        with pytest.raises(ValueError, match=f"no file .*absent{suffix}"):
            call(tmp_path / f"absent{suffix}")


def test_a_directory_is_no_file_of_weights(tmp_path) -> None:
    (tmp_path / "folder.keras").mkdir()
    with pytest.raises(ValueError, match=r"folder\.keras"):
        weights.load(network(), tmp_path / "folder.keras")


def test_manifests_survive_json() -> None:
    again = Manifest.from_json(manifest().to_json())
    assert again == manifest()
    assert isinstance(again.image_shape, tuple)
    assert isinstance(again.labels, tuple)
    assert json.loads(manifest().to_json())["training"]["top1"] == 91.5


def test_the_manifest_does_not_hide_weights(tmp_path) -> None:
    weights.save(network(), tmp_path / "a.weights.h5", manifest())
    with h5py.File(tmp_path / "a.weights.h5") as file:
        sizes = []
        file.visititems(lambda _, node: sizes.append(getattr(node, "size", 0)))
    assert sum(sizes) >= network().count_params()


def test_a_tilde_is_the_home_of_the_user(tmp_path, monkeypatch) -> None:
    """A shell leaves the tilde of --weights=~/a.keras alone."""
    monkeypatch.setenv("HOME", str(tmp_path))
    weights.save(network(), "~/a.keras", manifest())
    assert (tmp_path / "a.keras").is_file()
    weights.load(network(), "~/a.keras")
