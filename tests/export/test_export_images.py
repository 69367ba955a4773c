"""Images from which an export learns nothing are refused, and networks of other channels."""

import keras
import numpy as np
import pytest
from PIL import Image

import keras_resnet
from keras_resnet.export import job
from keras_resnet.export.calibration import Folder, check
from keras_resnet.manifest import Manifest
from keras_resnet.preprocessing import Preprocessing
from tests.support import exporting, helpers

SIZE = 8
NOISE = helpers.noise(3, SIZE, SIZE, 3).astype(np.float32)
CHECKERS = np.float32([[[[0] * 3]], [[[255] * 3]]])
BAD = {
    "divided by 255": (NOISE / 255, r"must have pixels of 0..255, got 0.*: are they divided"),
    "negative": (NOISE - 128, r"must have pixels of 0..255, got -1"),
    "not a number": (np.full_like(NOISE, np.nan), r"must have pixels of 0..255, got nan"),
    "black": (NOISE[:2] * 0, "the images show nothing: each of the 2 has one shade"),
    "black and white": (CHECKERS + 0 * NOISE[:2], "show nothing"),
    "ones": (NOISE * 0 + 1, "show nothing"),
    "another size": (NOISE[:, 1:], r"must have the shape \(n, 8, 8, 3\), got \(3, 7, 8, 3\)"),
    "none": (NOISE[:0], r"must have the shape .* got \(0, 8, 8, 3\)"),
}


def manifest(channels: int = 3) -> Manifest:
    mean = (100.0, 110.0, 120.0, 130.0)[:channels]
    scaling = Preprocessing(mean=mean, std=(50.0,), image_size=SIZE, crop=1.0)
    return Manifest("resnet20", (SIZE, SIZE, channels), ("a", "b"), scaling, {"repeats": (1, 1)})


@pytest.mark.parametrize("case", BAD)
def test_images_that_teach_nothing_are_refused(case):
    pixels, words = BAD[case]
    with pytest.raises(ValueError, match=words) as refusal:
        check(pixels, "the images", manifest())
    assert "\n" not in str(refusal.value)


def test_some_frames_may_be_black():
    check(NOISE, "the images", manifest())
    check(np.concatenate([NOISE, NOISE * 0]), "the images", manifest())


def test_the_export_looks_at_its_images(tmp_path):
    model, known = exporting.network("resnet20", repeats=[1, 1])
    good = exporting.pixels()
    black = job.Images(good * 0, "frames", True)
    for wrong in ({"calibration": good / 255}, {"images": black}):
        chosen = job.Job(["tflite_int8"], **{"calibration": good, **wrong})
        with pytest.raises(ValueError, match=r"to calibrate must have|frames show nothing"):
            job.export(model, known, tmp_path / "1", chosen)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("channels", "kind"), [(1, "L"), (4, "RGBA")])
def test_networks_of_other_channels_are_calibrated(channels, kind, tmp_path):
    keras.utils.set_random_seed(0)
    shape = (SIZE, SIZE, channels)
    model = keras_resnet.resnet(
        "resnet20", input_shape=shape, classes=2, repeats=(1, 1), classifier_activation=None
    )
    helpers.randomize(model)
    for i, pixels in enumerate(helpers.noise(16, *shape)):
        place = tmp_path / "photos" / "ab"[i % 4 // 2] / f"{i:02}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.squeeze(), kind).save(place)
    real = Folder(tmp_path / "photos")
    known = manifest(channels)
    pixels, classes = real.to_compare(known)
    assert set(classes) == {0, 1}
    images = job.Images(pixels, "photos", False, classes)
    chosen = job.Job(["tflite_int8"], images=images, calibration=real.to_calibrate(known))
    row = job.export(model, known, tmp_path / "1", chosen)["tflite_int8"]
    assert row.sqnr > 15
    assert 0 <= row.top1 <= 100
