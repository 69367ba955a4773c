"""Bad requests by the thousand: the process lives, memory is bounded, good ones stay exact.

TensorFlow's C++ SavedModel loader runs in a process of its own; this one only compares.
"""

import io
import json
from pathlib import Path
from typing import Any

import helpers
import hostile_images
import hostile_requests
import numpy as np
import pytest
import served
from PIL import Image
from serving_loader import Loaded

PEAK_MB = 2500  # four of the largest images at a time; the library itself takes 400


@pytest.fixture(scope="module")
def export(tmp_path_factory) -> Path:
    size, classes = hostile_requests.SIZE, hostile_requests.CLASSES
    return served.tiny(tmp_path_factory.mktemp("fire") / "1", size=size, classes=classes)


def fired(export: Path, count: int, seed: int = 0) -> dict[str, Any]:
    """Fires; checks what holds however many are fired, and returns the report."""
    done = helpers.python("-m", "tests.firing", str(export), str(count), str(seed),
                          TF_CPP_MIN_LOG_LEVEL="3")  # fmt: skip
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
    for maker in hostile_images.DAMAGED[:4]:  # some can be read all the same
        assert min(report[what][maker.__name__] for what in ("answered", "refused")) > 20


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
    files = sorted((data_dir / "imagenet_mini").rglob("*.JPEG"))
    files = (files or sorted((data_dir / "imagenet_mini").rglob("*.jpg")))[:40]
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


CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@pytest.mark.slow
def test_real_weights_answer_as_torch_did(data_dir, tmp_path):
    """Images of CIFAR-10 as PNGs, against logits that PyTorch computed of them."""
    import tensorflow_datasets as tfds

    folder = data_dir / "weights" / "akamaster"
    [weights] = folder.rglob("resnet20*.th")
    out = tmp_path / "1"
    done = helpers.python("-m", "keras_resnet.export", "--network=resnet20", "--source=akamaster",
                          f"--weights={weights}", f"--out={out}", "--formats=saved_model")  # fmt: skip
    assert done.returncode == 0, done.stderr
    count = 256
    with np.load(next(folder.rglob("reference_logits_cifar10_test.npz"))) as archive:
        logits = next(archive[name] for name in archive.files if "20" in name)[:count]
    right = np.exp(logits - logits.max(1, keepdims=True))
    right /= right.sum(1, keepdims=True)
    tests = tfds.load("cifar10", split="test", data_dir=data_dir / "tfds")
    rows = sorted(tfds.as_numpy(tests.take(count)), key=lambda row: row["id"])
    sent = []
    for row in rows:
        file = io.BytesIO()
        Image.fromarray(row["image"]).save(file, "PNG")
        sent.append(file.getvalue())
    outputs = [
        Loaded(out).run("predict_bytes", {"image_bytes": hostile_requests.texts(sent[i : i + 128])})
        for i in range(0, count, 128)
    ]
    best = np.concatenate([output["classes"][:, 0] for output in outputs])
    probabilities = np.concatenate([output["probabilities"][:, 0] for output in outputs])
    np.testing.assert_array_equal(best, right.argmax(1))
    np.testing.assert_allclose(probabilities, right.max(1), atol=1e-4)
