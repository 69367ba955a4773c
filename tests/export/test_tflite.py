"""TFLite files compute what the network does, in every number of bits, for batches of any size."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

from keras_resnet import resnet
from keras_resnet.export import tflite
from keras_resnet.export.source import Source
from keras_resnet.manifest import Manifest
from keras_resnet.rewrite.fold import fold
from keras_resnet.rewrite.int8 import quantized
from tests.support import cifar10_images, formats
from tests.support.formats import CASES, case, relative, sqnr

each = pytest.mark.parametrize("name", CASES)
INTEGERS = {schema.TensorType.INT8, schema.TensorType.INT32, schema.TensorType.UINT8}
ENDS = {"QUANTIZE", "DEQUANTIZE"}
OPERATIONS = {code: name for name, code in vars(schema.BuiltinOperator).items() if name[0] != "_"}


def signature(file: Path):
    return Interpreter(model_path=str(file)).get_signature_runner("serving_default")


def content(file: Path) -> schema.ModelT:
    return flatbuffer_utils.convert_bytearray_to_object(file.read_bytes())


def kernels(model: schema.ModelT) -> list[schema.TensorT]:
    """The weights of convolutions, [filters, height, width, channels]."""
    found = model.subgraphs[0].tensors
    return [t for t in found if len(t.shape) == 4 and model.buffers[t.buffer].data is not None]


def operations(file: Path) -> list[tuple[str, set[int]]]:
    """Every operation, with the types of what goes in and out."""
    model = content(file)
    found = []
    for graph in model.subgraphs:
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            ends = [i for i in (*operator.inputs, *operator.outputs) if i >= 0]
            name = OPERATIONS[max(code.builtinCode, code.deprecatedBuiltinCode)]
            found.append((name, {graph.tensors[i].type for i in ends}))
    return found


def check_integers(file: Path) -> None:
    """Pixels go in as they are, and nothing is computed in float32."""
    images = signature(file).get_input_details()["images"]
    assert (images["dtype"], images["quantization"]) == (np.uint8, (1.0, 0))
    computed = [(name, types) for name, types in operations(file) if name not in ENDS]
    assert len(computed) > 10
    assert [name for name, types in computed if not types <= INTEGERS] == []


@each
def test_float32_computes_what_the_network_does(name, tmp_path) -> None:
    known, file = case(name), tmp_path / "model.tflite"
    tflite.write(Source(known.folded, known.manifest, tflite_features=True), file)
    run = signature(file)
    inputs = formats.normalized(known.images, known.manifest.preprocessing)
    pooled = known.model.get_layer("pool").output
    inner = type(known.folded)(known.model.input, pooled)
    powers = np.exp(known.expected - known.expected.max(1, keepdims=True))
    probabilities = powers / powers.sum(1, keepdims=True)
    for count in (1, 8, 5):  # one after the other through the same interpreter
        outputs = run(images=known.images[:count])
        assert relative(outputs["logits"], known.expected[:count]) < 1e-5
        assert relative(outputs["probabilities"], probabilities[:count]) < 1e-5
        assert (
            relative(outputs["features"], np.asarray(inner(inputs[:count], training=False))) < 1e-5
        )


@each
def test_int8_is_near_and_computes_in_integers(name, tmp_path) -> None:
    known, file = case(name), tmp_path / "model.tflite"
    seen = formats.photographs(32, seed=2)
    tflite.write(Source(known.folded, known.manifest, calibration=seen), file, "int8")
    run = tflite.runner(file)
    logits = np.concatenate([run(known.images[:1]), run(known.images[1:9]), run(known.images[9:])])
    assert sqnr(logits, known.expected) > 15
    check_integers(file)
    scales = {len(tensor.quantization.scale) - tensor.shape[0] for tensor in kernels(content(file))}
    assert scales == {0}  # one a filter


@pytest.mark.parametrize(
    ("kind", "bits", "least"),
    [("float16", schema.TensorType.FLOAT16, 50), ("dynamic", schema.TensorType.INT8, 25)],
)
def test_weights_of_fewer_bits(kind, bits, least, tmp_path) -> None:
    known, file = case("bottleneck-v1.5-C"), tmp_path / "model.tflite"
    tflite.write(Source(known.folded, known.manifest), file, kind)
    run = tflite.runner(file)
    logits = np.concatenate([run(known.images[:1]), run(known.images[1:9]), run(known.images[9:])])
    assert sqnr(logits, known.expected) > least
    large = [t for t in kernels(content(file)) if np.prod(t.shape) >= 1024]
    assert {tensor.type for tensor in large} == {bits}


@pytest.fixture(scope="module")
def narrow(tmp_path_factory) -> tuple[Path, dict[str, Path]]:
    known, folder = case("basic-cifar-A-around"), tmp_path_factory.mktemp("narrow")
    files = {}
    for name, kind in (("a", "float32"), ("c", "int8"), ("d", "int8")):
        files[name] = folder / f"{name}.tflite"
        pale = np.clip(known.images[:4], 40, 200)
        tflite.write(Source(known.folded, known.manifest, calibration=pale), files[name], kind)
    return folder, files


def test_signatures_have_names(narrow) -> None:
    outputs = {"a": ["logits", "probabilities"], "c": ["logits"]}
    for name, expected in outputs.items():
        found = Interpreter(model_path=str(narrow[1][name])).get_signature_list()
        assert found == {"serving_default": {"inputs": ["images"], "outputs": expected}}


def test_a_file_has_one_graph_in_which_each_name_is_used_once(narrow) -> None:
    for file in narrow[1].values():
        (graph,) = content(file).subgraphs
        names = [tensor.name for tensor in graph.tensors]
        assert len(set(names)) == len(names) > 10
        assert not [name for name in names if b";" in name]


def test_who_asks_for_no_signature_gets_probabilities_first(narrow) -> None:
    known, interpreter = case("basic-cifar-A-around"), Interpreter(str(narrow[1]["a"]))
    interpreter.allocate_tensors()
    (images,), outputs = interpreter.get_input_details(), interpreter.get_output_details()
    assert [images["name"], *(o["name"] for o in outputs)] == ["images", "probabilities", "logits"]
    interpreter.set_tensor(images["index"], known.images[:1])
    interpreter.invoke()
    assert relative(interpreter.get_tensor(outputs[1]["index"]), known.expected[:1]) < 1e-5
    assert interpreter.get_tensor(outputs[0]["index"]).sum() == pytest.approx(1)


def test_two_files_are_the_same_bytes(narrow) -> None:
    _, files = narrow
    assert files["c"].read_bytes() == files["d"].read_bytes()


def test_weights_are_there_once(narrow) -> None:
    model = content(narrow[1]["a"])
    size = sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None)
    count = case("basic-cifar-A-around").folded.count_params()
    assert 4 * count < size < 4 * count + 4000  # shapes, paddings, and what converted them


@pytest.mark.parametrize("scaling", ["torch", "caffe", "none"])
def test_a_network_that_was_trained_to_round_needs_no_images(scaling, tmp_path) -> None:
    known = case("basic-cifar-A-around")
    manifest = Manifest("resnet18", (32, 32, 3), tuple("abcde"), formats.SCALINGS[scaling])
    inputs = formats.normalized(known.images, manifest.preprocessing)
    network, file = quantized(known.model), tmp_path / "model.tflite"
    network(inputs, training=True)
    expected = np.asarray(network(inputs, training=False))
    tflite.write(Source(network, manifest), file, "int8")
    logits = tflite.runner(file)(known.images)
    assert sqnr(logits, expected) > 25
    assert np.mean(logits.argmax(1) == expected.argmax(1)) > 0.9
    check_integers(file)


def test_a_level_of_grey_is_a_step_whatever_calibrated(narrow) -> None:
    check_integers(narrow[1]["c"])


def test_fractions_of_pixels_are_rounded(narrow) -> None:
    known, run = case("basic-cifar-A-around"), tflite.runner(narrow[1]["c"])
    images = np.clip(known.images[:8], 1, 254)
    np.testing.assert_array_equal(run(images + 0.4), run(images))
    np.testing.assert_array_equal(run(images - 0.4), run(images))


@pytest.mark.parametrize(
    ("kind", "words"),
    [("int4", "kind must be one of .*got 'int4'"), ("int8", "int8 needs images")],
)
def test_what_cannot_be_written(kind, words, tmp_path) -> None:
    known = case("basic-cifar-A")
    with pytest.raises(ValueError, match=words):
        tflite.write(Source(known.folded, known.manifest), tmp_path / "model.tflite", kind)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_runtime_is_named(monkeypatch) -> None:
    tflite.check_runtime()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"he-keras-resnet\[serving\]"):
        tflite.check_runtime()


def in_int8(network: str, data_dir: Path, file: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Writes others' trained weights; returns logits and labels of the first test images."""
    weights = next((data_dir / "weights/akamaster").glob(f"{network}-*.th"))
    model = resnet.from_weights(weights, classifier_activation=None)
    seen, _ = cifar10_images.read(data_dir, "train[:128]")
    calibration = seen.astype(np.float32)
    tflite.write(Source(fold(model), model.manifest, calibration=calibration), file, "int8")
    run = tflite.runner(file)
    pixels, labels = cifar10_images.read(data_dir, "test")
    batches = np.split(pixels[:count].astype(np.float32), count // 100)
    return np.concatenate([run(batch) for batch in batches]), labels[:count]


def test_trained_weights_keep_their_choices_in_int8(data_dir, tmp_path) -> None:
    logits, labels = in_int8("resnet20", data_dir, tmp_path / "model.tflite", 1000)
    golden = np.load(data_dir / "weights/akamaster/reference_logits_cifar10_test.npz")["resnet20"]
    golden = golden[:1000]
    assert np.mean(logits.argmax(1) == golden.argmax(1)) > 0.98
    assert sqnr(logits, golden) > 25
    lost = np.mean(golden.argmax(1) == labels) - np.mean(logits.argmax(1) == labels)
    assert lost < 0.01


@pytest.mark.slow
def test_resnet56_keeps_its_published_accuracy_in_int8(data_dir, tmp_path) -> None:
    """93.39 % in float32; at most 0.3 % may be lost, and little more than a quarter stay."""
    file, whole = tmp_path / "model_int8.tflite", tmp_path / "model.tflite"
    logits, labels = in_int8("resnet56", data_dir, file, 10_000)
    assert 100 * np.mean(logits.argmax(1) == labels) >= 93.1
    weights = next((data_dir / "weights/akamaster").glob("resnet56-*.th"))
    model = resnet.from_weights(weights, classifier_activation=None)
    tflite.write(Source(fold(model), model.manifest), whole)
    assert whole.stat().st_size / file.stat().st_size >= 3.3
