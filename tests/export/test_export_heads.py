"""What follows the logits leaves with the network: every format answers what Keras computes."""

import io
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import keras_resnet
from keras_resnet.export import job
from keras_resnet.manifest import Manifest
from keras_resnet.preprocessing import Preprocessing
from tests.support import helpers

FIELDS = {"repeats": (1, 1)}
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
FILES = {"tflite": "model.tflite", "onnx": "model.onnx", "openvino": "openvino/model.xml"}


@dataclass(frozen=True)
class Case:
    """How a network is built, what its manifest says, and what both come to."""

    classes: int
    built: str | None  # the activation that the model has itself
    said: str | None  # the activation in the manifest
    shape: tuple[int, int, int]
    activation: str  # of which Keras is asked
    policy: str = "float32"


CASES = {
    "nobody said": Case(7, None, None, (32, 32, 3), "softmax"),
    "softmax of its own, grey": Case(7, "softmax", None, (32, 32, 1), "softmax"),
    "twice, in bfloat16": Case(7, "softmax", "softmax", (32, 32, 3), "softmax", "mixed_bfloat16"),
    "one yes or no, RGBA": Case(1, "sigmoid", None, (32, 32, 4), "sigmoid"),
    "one yes or no, said": Case(1, None, "sigmoid", (32, 32, 3), "sigmoid"),
    "several yes or no, oblong": Case(7, None, "sigmoid", (24, 40, 3), "sigmoid"),
    "several, mixed_float16": Case(7, "sigmoid", None, (32, 32, 1), "sigmoid", "mixed_float16"),
    "logits, oblong": Case(7, None, "none", (40, 24, 1), "none"),
    "linear, RGBA": Case(7, "linear", None, (32, 32, 4), "none"),
}


@dataclass(frozen=True)
class Exported:
    """An export with the images to ask it, and what Keras answers."""

    case: Case
    out: Path
    manifest: Manifest
    images: np.ndarray  # uint8 [4, height, width, channels]
    logits: np.ndarray
    probabilities: np.ndarray | None

    @cached_property
    def loaded(self) -> Any:
        return tf.saved_model.load(str(self.out))

    @property
    def scores(self) -> np.ndarray:
        return self.logits if self.probabilities is None else self.probabilities


def build(case: Case, activation: str | None, seed: int = 0) -> keras.Model:
    keras.utils.set_random_seed(seed)
    model = keras_resnet.resnet(
        "resnet20",
        input_shape=case.shape,
        classes=case.classes,
        classifier_activation=activation,
        **FIELDS,
    )
    helpers.randomize(model)
    kernel, bias = model.get_layer("logits").get_weights()
    model.get_layer("logits").set_weights([kernel / 30, bias])
    return model


def by_keras(model: keras.Model, images: np.ndarray) -> np.ndarray:
    inputs = (images.astype(np.float32) - np.float32(120)) / np.float32(60)
    return np.asarray(model(inputs, training=False))


# Each head, number of channels and policy once; the others with the slow tests.
QUICK = (
    "twice, in bfloat16",
    "one yes or no, RGBA",
    "several yes or no, oblong",
    "logits, oblong",
)
SELECTED = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CASES]


@pytest.fixture(scope="module", params=SELECTED)
def exported(request, tmp_path_factory) -> Exported:
    case = CASES[request.param]
    keras.config.set_dtype_policy(case.policy)
    try:
        model = build(case, case.built)
        height, width, _ = case.shape
        size: Any = height if height == width else (height, width)
        scaling = Preprocessing(mean=(120.0,), std=(60.0,), image_size=size, crop=1.0)
        labels = tuple(f"class {i}" for i in range(case.classes))
        manifest = Manifest("resnet20", case.shape, labels, scaling, FIELDS, activation=case.said)
        out = tmp_path_factory.mktemp("heads") / "1"
        job.export(model, manifest, out, job.Job(["saved_model", *FILES]))
        assert keras.config.dtype_policy().name == case.policy
    finally:
        keras.config.set_dtype_policy("float32")
    plain, whole = build(case, None), build(case, case.activation.replace("none", "linear"))
    for network in (plain, whole):
        network.set_weights(model.get_weights())
    images = helpers.noise(4, *case.shape)
    probabilities = None if case.activation == "none" else by_keras(whole, images)
    return Exported(case, out, manifest, images, by_keras(plain, images), probabilities)


def outputs(exported: Exported, kind: str) -> dict[str, np.ndarray]:
    """Runs a file without this package; returns every output by its name."""
    images = exported.images.astype(np.float32)
    file = exported.out / FILES.get(kind, "")
    if kind == "saved_model":
        found = exported.loaded.signatures["serving_default"](images=images)
        return {name: value.numpy() for name, value in found.items()}
    if kind == "tflite":
        from ai_edge_litert.interpreter import Interpreter

        return Interpreter(str(file)).get_signature_runner()(images=images)
    if kind == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(file)
        names = [each.name for each in session.get_outputs()]
        return dict(zip(names, session.run(None, {"images": images}), strict=True))
    import openvino

    model = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = model(images)
    return {each.get_any_name(): found[each] for each in model.outputs}


@pytest.mark.parametrize("kind", ["saved_model", *FILES])
def test_every_format_answers_what_keras_computes(exported, kind):
    found = outputs(exported, kind)
    expected = {"logits": exported.logits}
    if exported.probabilities is not None:
        expected["probabilities"] = exported.probabilities
    more = {"features"} if kind in ("onnx", "openvino") else set()
    assert set(found) == {*expected, *more}
    for name, value in expected.items():
        largest = np.abs(value).max()
        np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-4 * largest)
    if kind in ("onnx", "openvino"):
        order = [name for name in ("probabilities", "logits", "features") if name in found]
        assert list(found) == order


def encoded(image: np.ndarray, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    pixels = image[..., 0] if image.shape[-1] == 1 else image
    Image.fromarray(pixels, MODES[image.shape[-1]]).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("signature", ["predict_bytes", "explain"])
def test_bytes_of_images_are_ranked_by_what_keras_computes(exported, signature):
    """PNG is lossless, and the images have the size of the network: Keras sees the same pixels."""
    data = [encoded(image, "PNG") for image in exported.images]
    found = exported.loaded.signatures[signature](image_bytes=tf.constant(data))
    name = "logits" if exported.probabilities is None else "probabilities"
    more = {"maps", "images"} if signature == "explain" else set()
    assert set(found) == {"classes", "labels", name, *more}
    order = np.argsort(-exported.logits, 1)[:, :5]
    np.testing.assert_array_equal(found["classes"], order)
    labels = [[f"class {i}".encode() for i in row] for row in order]
    assert found["labels"].numpy().tolist() == labels
    expected = np.take_along_axis(exported.scores, order, 1)
    atol = 1e-4 * np.abs(exported.scores).max()
    np.testing.assert_allclose(found[name], expected, rtol=0, atol=atol)
    if signature == "explain":
        np.testing.assert_array_equal(found["images"], exported.images)


def test_jpegs_are_seen_as_pil_sees_them(exported):
    height, width, channels = exported.case.shape
    colours = Image.fromarray(helpers.noise(1, 3, 5, 3, seed=4)[0])
    mode = "L" if channels == 1 else "RGB"  # a JPEG has no transparency
    smooth = colours.convert(mode).resize((width, height), Image.Resampling.BICUBIC)
    data = io.BytesIO()
    smooth.save(data, "JPEG", quality=95, subsampling=0)
    seen = Image.open(data).convert(MODES[channels])
    pixels = np.asarray(seen).reshape(1, height, width, channels)
    expected = exported.loaded.signatures["serving_default"](images=pixels.astype(np.float32))
    found = exported.loaded.signatures["predict_bytes"](image_bytes=tf.constant([data.getvalue()]))
    name = "logits" if exported.probabilities is None else "probabilities"
    best = np.take_along_axis(expected[name].numpy(), found["classes"].numpy(), 1)
    np.testing.assert_allclose(found[name], best, rtol=0, atol=1e-5 * max(1, np.abs(best).max()))


SQUARE = Case(7, None, None, (32, 32, 3), "softmax")
REFUSED = {
    "another activation": ("tanh", None, 7, 7, "ends in the activation tanh; allowed are logits"),
    "a softmax over one": (None, "softmax", 1, 1, "a softmax over one output is always 1"),
    "one output, and nobody said": (None, None, 1, 1, "the activation of one output is 'sigmoid'"),
    "a contradiction": ("sigmoid", "softmax", 7, 7, "ends in sigmoid, but its manifest says soft"),
    "labels of others": (None, None, 7, 5, "has 7 outputs, but its manifest 5 labels"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_heads_are_refused_in_one_line(case, tmp_path):
    built, said, classes, labels, words = REFUSED[case]
    model = build(replace(SQUARE, classes=classes), built)
    scaling = Preprocessing(image_size=32, crop=1.0)
    names = tuple(map(str, range(labels)))
    manifest = Manifest("resnet20", (32, 32, 3), names, scaling, FIELDS, activation=said)
    with pytest.raises(ValueError, match=words) as refusal:
        job.export(model, manifest, tmp_path / "1")
    assert "\n" not in str(refusal.value)
    assert not list(tmp_path.iterdir())


def test_a_head_with_an_activation_inside_is_refused(tmp_path):
    model = build(SQUARE, None)
    model.get_layer("logits").activation = keras.activations.softmax
    manifest = Manifest("resnet20", (32, 32, 3), tuple("abcdefg"), Preprocessing(image_size=32))
    with pytest.raises(ValueError, match=r"the layer logits of resnet20.* applies softmax itself"):
        job.export(model, manifest, tmp_path / "1")


def test_networks_without_a_classifier_are_refused(tmp_path):
    manifest = Manifest("resnet20", (32, 32, 3), tuple("abcdefg"), Preprocessing(image_size=32))
    shape = {"input_shape": (32, 32, 3), **FIELDS}
    pooled = keras_resnet.resnet("resnet20", include_top=False, pooling="avg", **shape)
    with pytest.raises(ValueError, match="ends in the layer pool; allowed are logits"):
        job.export(pooled, manifest, tmp_path / "1")
    pyramid = keras_resnet.resnet("resnet20", endpoints=True, **shape)
    with pytest.raises(ValueError, match=r"returns .*stage1.*; export needs its logits"):
        job.export(pyramid, manifest, tmp_path / "1")


def test_an_image_of_another_shape_is_refused(tmp_path):
    manifest = Manifest("resnet20", (16, 16, 3), tuple("abcdefg"), Preprocessing(image_size=16))
    with pytest.raises(ValueError, match=r"takes images of \(32, 32, 3\), but its manifest says"):
        job.export(build(SQUARE, None), manifest, tmp_path / "1")
