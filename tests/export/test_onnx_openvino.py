"""ONNX and OpenVINO files compute what the network does, for batches of any size."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from keras_resnet.export import onnx, openvino
from keras_resnet.export.source import Source
from tests.support import formats
from tests.support.formats import CASES, case, relative

FILES = {"onnx": "model.onnx", "openvino": "openvino/model.xml"}
MODULES = {"onnx": onnx, "openvino": openvino}
both = pytest.mark.parametrize("kind", FILES)


@both
@pytest.mark.parametrize("name", CASES)
def test_files_compute_what_the_network_does(name, kind, tmp_path) -> None:
    known, file = case(name), tmp_path / FILES[kind]
    MODULES[kind].write(Source(known.folded, known.manifest), file)
    run = MODULES[kind].runner(file, threads=1)
    for count in (1, 8, 5):  # one after the other through the same runner
        logits = run(known.images[:count])
        assert logits.dtype == np.float32
        assert relative(logits, known.expected[:count]) < 1e-5


def everything(known: formats.Case) -> dict[str, np.ndarray]:
    inputs = formats.normalized(known.images, known.manifest.preprocessing)
    inner = type(known.folded)(known.model.input, known.model.get_layer("pool").output)
    powers = np.exp(known.expected - known.expected.max(1, keepdims=True))
    return {
        "logits": known.expected,
        "probabilities": powers / powers.sum(1, keepdims=True),
        "features": np.asarray(inner(inputs, training=False)),
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> dict[str, Path]:
    known, folder = case("bottleneck-v1.5-C"), tmp_path_factory.mktemp("written")
    files = {kind: folder / file for kind, file in FILES.items()}
    for kind, file in files.items():
        MODULES[kind].write(Source(known.folded, known.manifest), file)
    return files


def test_onnx_has_names_and_any_batch(written) -> None:
    import onnxruntime
    from onnx import checker, load

    model = load(written["onnx"])
    checker.check_model(model, full_check=True)
    assert [each.version for each in model.opset_import if not each.domain] == [onnx.OPSET]
    session = onnxruntime.InferenceSession(written["onnx"])
    (images,) = session.get_inputs()
    assert (images.name, images.shape) == ("images", ["batch", 32, 32, 3])
    known = case("bottleneck-v1.5-C")
    expected = everything(known)
    outputs = {each.name: each.shape for each in session.get_outputs()}
    assert outputs == {name: ["batch", value.shape[1]] for name, value in expected.items()}
    found = session.run([*expected], {"images": known.images})
    for value, name in zip(found, expected, strict=True):
        assert relative(value, expected[name]) < 1e-5


def test_openvino_has_names_and_any_batch(written) -> None:
    from openvino import Core

    model = Core().read_model(written["openvino"])
    (images,) = model.inputs
    assert images.names == {"images"}
    assert str(images.partial_shape) == "[?,32,32,3]"
    known = case("bottleneck-v1.5-C")
    expected = everything(known)
    assert {name for each in model.outputs for name in each.names} == set(expected)
    found = Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(known.images)
    for name, value in expected.items():
        assert relative(found[name], value) < 1e-5


def test_openvino_keeps_weights_in_32_bits(written) -> None:
    weights = written["openvino"].with_suffix(".bin")
    assert weights.stat().st_size > 4 * case("bottleneck-v1.5-C").folded.count_params()


def test_openvino_tells_nobody(written) -> None:
    """What would send each import and conversion to its makers is not even imported."""
    from openvino.tools.ovc import telemetry_utils

    assert telemetry_utils.tm.__name__ == "openvino.tools.ovc.telemetry_stub"
    assert sys.modules["openvino_telemetry"] is None


@both
def test_what_is_missing_is_named(kind, monkeypatch) -> None:
    MODULES[kind].check_runtime()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=rf"he-keras-resnet\[{kind}\]"):
        MODULES[kind].check_runtime()
