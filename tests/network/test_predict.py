"""`predict` compiles a network no more often than a model of two plain layers of Keras."""

from dataclasses import replace

import keras
import numpy as np
import pytest

import keras_resnet
from tests.support import exporting, helpers

SIZES = ((1, 1), (7, 7), (32, 32), (40, 32), (5, 3), (64, 32), (2, 1), (7, 7))  # images, batch size


def traces(model: keras.Model) -> int:
    """Returns how often TensorFlow traced the function of `predict`."""
    for images, batch in SIZES:
        model.predict(np.zeros((images, 32, 32, 3), np.float32), batch_size=batch, verbose=0)
    return model.predict_function.experimental_get_tracing_count()


def test_other_batch_sizes_compile_nothing_more():
    image = keras.Input((32, 32, 3))
    features = keras.layers.GlobalAveragePooling2D()(image)
    plain = traces(keras.Model(image, keras.layers.Dense(10)(features)))
    ours = traces(keras_resnet.resnet("resnet20", repeats=[1, 1], input_shape=(32, 32, 3)))
    assert 1 <= ours <= plain < len(SIZES)


@pytest.fixture(scope="module")
def network() -> keras.Model:
    """Of random weights, which say how they want their images."""
    model, manifest = exporting.network("resnet20", repeats=[1])
    built = keras_resnet.resnet("resnet20", input_shape=(32, 32, 3), classes=7, repeats=[1])
    built.set_weights(model.get_weights())
    built.manifest = replace(manifest, activation="softmax")
    return built


def test_images_of_every_kind_are_classified(network, tmp_path):
    from PIL import Image

    pixels = helpers.noise(3, 32, 32, 3, seed=2)
    scores = exporting.by_hand(
        keras.Model(network.input, network.get_layer("logits").output), pixels.astype(np.float32)
    )[1]
    Image.fromarray(pixels[0]).save(tmp_path / "a.png")
    mixed = [tmp_path / "a.png", Image.fromarray(pixels[1]), pixels[2]]
    found = network.predict_images(mixed, top=2, batch_size=2)
    assert found == network.predict_images(pixels, top=2, batch_size=2)
    for row, answer in zip(scores, found, strict=True):
        best = np.argsort(-row)[:2]
        assert [label for label, _ in answer] == [f"class {i}" for i in best]
        np.testing.assert_allclose([share for _, share in answer], row[best], atol=1e-5)
    ((alone,),) = network.predict_images(str(tmp_path / "a.png"), top=1)
    assert alone == pytest.approx(found[0][0])
    assert len(network.predict_images(pixels[0])[0]) == 5
    assert len(network.predict_images(pixels[0], top=100)[0]) == 7
    assert network.predict_images([]) == []


def test_what_cannot_be_classified_is_said(network, tmp_path):
    bare = keras_resnet.resnet("resnet20", repeats=[1])
    told = "its weights are random or were set by hand; build it with weights=..., or scale images"
    with pytest.raises(ValueError, match=f"resnet20 cannot read images: {told}"):
        bare.predict_images(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(AttributeError, match=f"the preprocessing of resnet20 is unknown: {told}"):
        _ = bare.preprocessing
    bare.manifest = replace(network.manifest, preprocessing=None)
    with pytest.raises(ValueError, match=r"weights do not state it; build it with from_weights"):
        bare.predict_images(np.zeros((8, 8, 3), np.uint8))
    features = keras_resnet.resnet("resnet20", include_top=False, pooling="avg", repeats=[1])
    features.manifest = network.manifest
    with pytest.raises(ValueError, match=r"does not classify: its output is \(None, 16\), and its"):
        features.predict_images(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match="top must be at least 1, got 0"):
        network.predict_images(np.zeros((8, 8, 3), np.uint8), top=0)
    with pytest.raises(ValueError, match="is a folder, not an image: give the files in it"):
        network.predict_images(tmp_path)
    (tmp_path / "x.jpg").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    with pytest.raises(ValueError, match="it is a HEIC file, not a JPEG, PNG, WebP, BMP or GIF"):
        network.predict_images([tmp_path / "x.jpg"])


def test_ten_classes_are_not_those_of_imagenet():
    with pytest.raises(ValueError, match=r"got \(2, 10\); for the classes of other weights call"):
        keras_resnet.decode_predictions(np.zeros((2, 10)))


@pytest.mark.parametrize("kind", ["BMP", "GIF"])
def test_kinds_that_no_server_takes_are_read(network, tmp_path, kind):
    from PIL import Image

    grey = np.full((32, 32, 3), 100, np.uint8)
    Image.fromarray(grey).save(tmp_path / f"x.{kind.lower()}")
    found = network.predict_images(tmp_path / f"x.{kind.lower()}")
    assert found == network.predict_images(grey)
    if kind == "GIF":
        data = bytearray((tmp_path / "x.gif").read_bytes())
        data[6:10] = b"\xff\xff\xff\xff"
        (tmp_path / "y.gif").write_bytes(data)
        with pytest.raises(ValueError, match="65535x65535 pixels; at most 33554432 are allowed"):
            network.predict_images(tmp_path / "y.gif")
