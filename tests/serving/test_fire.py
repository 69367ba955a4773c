"""Bad requests by the thousand: the process lives, memory is bounded, good ones stay exact.

TensorFlow's C++ SavedModel loader runs in a process of its own; this one only compares.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from saved_models.serving.servers.stub.loader import Loaded
from tests.support import helpers, hostile_images, hostile_requests, served
from tests.support.cifar10_images import read

PEAK_MB = 2500  # four of the largest images at a time; the library itself takes 400


@pytest.fixture(scope="module")
def export(tmp_path_factory) -> Path:
    size, classes = hostile_requests.SIZE, hostile_requests.CLASSES
    return served.tiny(tmp_path_factory.mktemp("fire") / "1", size=size, classes=classes)


def fired(export: Path, count: int, seed: int = 0) -> dict[str, Any]:
    """Fires; checks what holds however many are fired, and returns the report."""
    done = helpers.python(
        "-m", "tests.support.firing", str(export), str(count), str(seed), TF_CPP_MIN_LOG_LEVEL="3"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout)
    assert report["problems"] == []
    assert sum((report["answered"] | {}).values()) + sum(report["refused"].values()) == count
    assert report["answered"].keys() | report["refused"].keys() == hostile_requests.kinds().keys()
    assert report["imported"] == []
    assert report["peak_mb"] < PEAK_MB
    return report


def test_hundreds_of_bad_requests_among_good_ones(export):
    report = fired(export, 300)
    assert report["answered"]["good"] > 60
    assert sum(report["refused"].values()) > 100


@pytest.mark.slow
def test_ten_thousand_requests(export):
    report = fired(export, 10_000, seed=1)
    print(json.dumps({name: report[name] for name in ("base_mb", "peak_mb", "end_mb")}))
    assert report["answered"]["good"] > 2000
    assert sum(report["refused"].values()) > 4000
    assert report["refused"]["truncated"] > 200
    for kind in ("mutated", "header_mutated", "spliced"):  # some can be read all the same
        assert min(report["answered"][kind], report["refused"][kind]) > 50


def test_good_requests_get_what_python_computes(export):
    import tensorflow as tf

    python, loaded = tf.saved_model.load(str(export)), Loaded(export)
    for number in range(hostile_requests.GOOD):
        request = hostile_requests.good(number)
        [(name, value)] = request.inputs.items()
        sent = {name: tf.constant(value.tolist() if value.dtype == object else value)}
        right = python.signatures[request.signature](**sent)
        for output, computed in loaded.run(request.signature, request.inputs).items():
            np.testing.assert_array_equal(computed, right[output])


def test_photographs_and_their_damages(export, data_dir):
    """Whole ones are answered, all at once as one by one; half of one is refused."""
    files = sorted((data_dir / "imagenet_mini" / "images").iterdir())[:40]
    assert len(files) == 40
    loaded = Loaded(export)

    def ask(*values: bytes) -> Any:
        return loaded.run("predict_bytes", {"image_bytes": hostile_requests.texts(values)})

    photographs = [file.read_bytes() for file in files]
    together = ask(*photographs)
    for i, photograph in enumerate(photographs):
        alone = ask(photograph)
        np.testing.assert_array_equal(alone["classes"][0], together["classes"][i])
        np.testing.assert_allclose(
            alone["probabilities"][0], together["probabilities"][i], rtol=1e-4
        )
        with pytest.raises(Exception, match="JPEG"):
            ask(photograph[: len(photograph) // 2])
    assert len(np.unique(together["probabilities"], axis=0)) == 40


@pytest.mark.slow
@pytest.mark.parametrize(
    ("weights", "accuracy"), [("resnet20-12fca82f", 91.73), ("resnet56-4bfd9763", 93.39)]
)
def test_real_weights_keep_their_accuracy(data_dir, tmp_path, weights, accuracy):
    """All test images of CIFAR-10 as PNGs, against labels, and what PyTorch computed of them."""
    folder, network = data_dir / "weights" / "akamaster", weights.partition("-")[0]
    flags = (f"--weights={folder / weights}.th", f"--network={network}", "--source=akamaster")
    out = tmp_path / "1"
    done = helpers.module("keras_resnet.export", *flags, f"--out={out}", "--formats=saved_model")
    assert done.returncode == 0, done.stderr
    golden = np.load(folder / "reference_logits_cifar10_test.npz")[network].astype(np.float64)
    powers = np.exp(golden - golden.max(1, keepdims=True))
    images, labels = read(data_dir, "test")
    loaded, classes, probabilities = Loaded(out), [], []
    for i in range(0, len(images), 100):
        sent = [hostile_images.encode(Image.fromarray(x), "PNG") for x in images[i : i + 100]]
        outputs = loaded.run("predict_bytes", {"image_bytes": hostile_requests.texts(sent)})
        classes.append(outputs["classes"][:, 0])
        probabilities.append(outputs["probabilities"][:, 0])
    best = np.concatenate(classes)
    assert 100 * np.mean(best == labels) == pytest.approx(accuracy, abs=1e-9)
    np.testing.assert_array_equal(best, golden.argmax(1))
    right = powers.max(1) / powers.sum(1)
    np.testing.assert_allclose(np.concatenate(probabilities), right, atol=1e-3)
