"""The official weights of keras.applications, which Keras itself may have in its cache."""

import hashlib
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_resnet
from keras_resnet.weights import download
from keras_resnet.weights.sources import keras_applications


@pytest.fixture
def official(tmp_path, monkeypatch) -> Path:
    """The cache of Keras, and nobody to download from."""
    cache = tmp_path / "keras" / "models"
    cache.mkdir(parents=True)
    monkeypatch.setenv("KERAS_HOME", str(cache.parent))
    monkeypatch.setattr(keras_applications, "URL", "http://127.0.0.1:9/")
    return cache


def in_cache(cache: Path, end: str, monkeypatch) -> Path:
    file = cache / f"resnet50_weights_tf_dim_ordering_tf_kernels{end}.h5"
    file.write_bytes(end.encode())
    md5 = hashlib.md5(file.read_bytes()).hexdigest()
    if end:
        monkeypatch.setitem(download.NOTOP, "resnet50", md5)
    else:
        monkeypatch.setitem(keras_applications.OFFICIAL, "resnet50", ("resnet50", md5))
    return file


def test_what_keras_has_is_not_downloaded_again(official, monkeypatch) -> None:
    whole = in_cache(official, "", monkeypatch)
    assert download.local("imagenet", "resnet50") == whole
    bare = in_cache(official, "_notop", monkeypatch)
    assert download.local("imagenet", "resnet50", head=False) == whole
    whole.write_bytes(b"damaged")
    assert download.local("imagenet", "resnet50", head=False) == bare
    with pytest.raises(ValueError, match=rf"cannot be downloaded: .* {whole} is damaged: its MD5"):
        download.local("imagenet", "resnet50")


def test_a_file_without_a_classifier_is_named(official, monkeypatch) -> None:
    bare = in_cache(official, "_notop", monkeypatch)
    assert download.local("imagenet", "resnet50", head=False) == bare
    told = rf"resnet50_weights.*{bare} has no classifier: it can be used with include_top=False"
    with pytest.raises(ValueError, match=told):
        download.local("imagenet", "resnet50")
    bare.write_bytes(b"damaged")
    with pytest.raises(ValueError, match="cannot be downloaded"):
        download.local("imagenet", "resnet50", head=False)


def test_a_network_without_a_classifier_takes_a_file_without_one(official, monkeypatch) -> None:
    """`keras.applications.ResNet50(include_top=False)` leaves just this file in its cache."""
    bare = in_cache(official, "_notop", monkeypatch)
    theirs = keras.applications.ResNet50(weights=None, include_top=False, pooling="avg")
    theirs.save_weights(bare.with_suffix(".weights.h5"))
    bare.with_suffix(".weights.h5").replace(bare)
    monkeypatch.setitem(download.NOTOP, "resnet50", hashlib.md5(bare.read_bytes()).hexdigest())
    ours = keras_resnet.ResNet50(include_top=False, weights="imagenet", pooling="avg")
    x = np.random.default_rng(0).normal(size=(1, 64, 64, 3)).astype("float32")
    np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-4, atol=1e-5)
    with pytest.raises(
        ValueError, match="has no classifier: it can be used with include_top=False"
    ):
        keras_resnet.ResNet50(weights="imagenet")


def test_hashes_are_those_of_keras() -> None:
    from keras.src.applications import resnet as theirs

    for ours, (name, md5) in keras_applications.OFFICIAL.items():
        assert theirs.WEIGHTS_HASHES[name] == (md5, download.NOTOP[ours])
    assert theirs.BASE_WEIGHTS_PATH == keras_applications.URL
