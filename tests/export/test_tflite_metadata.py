"""TFLite files say in their metadata what goes in and what classes are called."""

import io
import json
import os
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from flatbuffers import number_types
from PIL import Image
from tensorflow.lite.tools import flatbuffer_utils

from keras_resnet.export import metadata, tflite
from keras_resnet.export.source import Source
from keras_resnet.manifest import Manifest
from tests.support import formats
from tests.support.formats import case

# A Python that has MediaPipe, whose classifier reads the metadata: it does not share an environment
# with TensorFlow 2.21.
MEDIAPIPE = os.environ.get("KERAS_RESNET_MEDIAPIPE")
SCRIPT = """
import json, os, sys
import mediapipe, numpy
from mediapipe.tasks.python import BaseOptions, vision
from PIL import Image
options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=sys.argv[1]))
classifier = vision.ImageClassifier.create_from_options(options)
pixels = numpy.array(Image.open(sys.argv[2]))
image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)
for head in classifier.classify(image).classifications:
    found = {each.category_name: each.score for each in head.categories}
    print(json.dumps([head.head_name, found]))
sys.stdout.flush()
os._exit(0)
"""
LABELS = ("Äpfel", "two\nlines", "c", "d", "\udcc4 of no UTF-8")
LINES = ["Äpfel", r"two\nlines", "c", "d", r"\udcc4 of no UTF-8"]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    known, folder = case("basic-cifar-A-around"), tmp_path_factory.mktemp("metadata")
    manifest = replace(known.manifest, labels=LABELS)
    source = Source(known.folded, manifest, calibration=known.images[:8], tflite_features=True)
    written = {kind: folder / f"{kind}.tflite" for kind in ("float32", "int8")}
    for kind, file in written.items():
        tflite.write(source, file, kind)
    return written


class Table:
    """A table of a flatbuffer, read by slots: as any reader does that has the schema alone."""

    def __init__(self, content: bytes, position: int) -> None:
        self._table = flatbuffers.table.Table(content, position)

    def _at(self, slot: int) -> int:
        offset = self._table.Offset(4 + 2 * slot)
        assert offset, f"slot {slot} is empty"
        return offset + self._table.Pos

    def table(self, slot: int) -> "Table":
        return Table(self._table.Bytes, self._table.Indirect(self._at(slot)))

    def text(self, slot: int) -> str:
        return self._table.String(self._at(slot)).decode()

    def number(self, slot: int, kind: Any = number_types.Int8Flags) -> int:
        return self._table.Get(kind, self._at(slot))

    def tables(self, slot: int) -> list["Table"]:
        first = self._table.Vector(self._at(slot) - self._table.Pos)
        count = self._table.VectorLen(self._at(slot) - self._table.Pos)
        places = [self._table.Indirect(first + 4 * i) for i in range(count)]
        return [Table(self._table.Bytes, place) for place in places]

    def floats(self, slot: int) -> list[float]:
        offset = self._at(slot) - self._table.Pos
        return self._table.GetVectorAsNumpy(number_types.Float32Flags, offset).tolist()

    def has(self, slot: int) -> bool:
        return bool(self._table.Offset(4 + 2 * slot))


def about(file: Path) -> Table:
    model = flatbuffer_utils.convert_bytearray_to_object(file.read_bytes())
    (entry,) = [each for each in model.metadata if each.name == b"TFLITE_METADATA"]
    content = bytes(model.buffers[entry.buffer].data)
    assert content[4:8] == b"M001"
    return Table(content, int.from_bytes(content[:4], "little"))


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_pixels_of_0_to_255_go_in_as_they_are(files, kind):
    """Numbers of slots and kinds are those of the schema in tensorflow/tflite-support."""
    (graph,) = about(files[kind]).tables(3)
    (images,) = graph.tables(2)
    content = images.table(3)
    assert (images.text(0), content.number(0)) == ("images", 2)  # ImageProperties
    assert content.table(1).number(0) == 1  # RGB
    size = content.table(1).table(1)
    assert [size.number(slot, number_types.Uint32Flags) for slot in (0, 1)] == [32, 32]
    (unit,) = images.tables(4)
    assert unit.number(0) == 1  # NormalizationOptions
    assert (unit.table(1).floats(0), unit.table(1).floats(1)) == ([0], [1])
    assert (images.table(5).floats(0), images.table(5).floats(1)) == ([255], [0])


def test_outputs_are_those_of_the_graph_and_classes_have_labels(files):
    for kind, names in {
        "float32": ["probabilities", "logits", "features"],
        "int8": ["logits", "features"],
    }.items():
        (graph,) = about(files[kind]).tables(3)
        found = graph.tables(3)
        assert [output.text(0) for output in found] == names
        assert [output.has(6) for output in found] == [name != "features" for name in names]
        (labels,) = found[0].tables(6)
        assert (labels.text(0), labels.number(2)) == ("labels.txt", 2)  # TENSOR_AXIS_LABELS


def test_labels_are_packed_a_line_each(files):
    for file in files.values():
        with zipfile.ZipFile(file) as archive:
            (entry,) = archive.infolist()
            assert (entry.filename, entry.compress_type) == ("labels.txt", zipfile.ZIP_STORED)
            assert archive.read("labels.txt").decode().splitlines() == LINES


@pytest.mark.parametrize(("channels", "colour"), [(1, 2), (3, 1), (4, None)])
def test_colours_are_told_where_the_schema_has_a_word(channels, colour):
    manifest = Manifest("resnet20", (20, 30, channels), ("a", "b"), None)
    content = metadata.describe(manifest, ["logits"])
    graph = Table(content, int.from_bytes(content[:4], "little")).tables(3)[0]
    properties = graph.tables(2)[0].table(3).table(1)
    assert properties.has(0) == (colour is not None)
    if colour:
        assert properties.number(0) == colour
    size = properties.table(1)
    assert [size.number(slot, number_types.Uint32Flags) for slot in (0, 1)] == [30, 20]


def test_tensorflow_reads_the_file_as_well(files):
    import tensorflow as tf

    content = files["float32"].read_bytes()
    with pytest.warns(UserWarning, match="tf.lite.Interpreter is deprecated"):
        interpreter = tf.lite.Interpreter(model_content=content)
    images = case("basic-cifar-A-around").images[:2]
    found = interpreter.get_signature_runner()(images=images)
    expected = case("basic-cifar-A-around").expected[:2]
    assert formats.relative(found["logits"], expected) < 1e-5


@pytest.mark.slow
@pytest.mark.skipif(not MEDIAPIPE, reason="set KERAS_RESNET_MEDIAPIPE to a Python that has it")
def test_mediapipe_classifies_with_the_file(files, tmp_path):
    image = case("basic-cifar-A-around").images[0]
    (tmp_path / "a.png").write_bytes(png(image))
    command = [MEDIAPIPE, "-c", SCRIPT, str(files["float32"]), str(tmp_path / "a.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    heads = dict(json.loads(line) for line in done.stdout.splitlines())
    assert list(heads) == ["probabilities", "logits", "features"]
    found = tflite.runner(files["float32"])(image[np.newaxis])[0]
    logits = [heads["logits"][line] for line in LINES]
    np.testing.assert_allclose(logits, found, rtol=1e-4)
    powers = np.exp(found - found.max())
    probabilities = [heads["probabilities"][line] for line in LINES]
    np.testing.assert_allclose(probabilities, powers / powers.sum(), rtol=1e-4)


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()
