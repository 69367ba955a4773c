"""TFLite metadata: what MediaPipe and similar libraries read about pixels and classes.

The metadata is a flatbuffer of its own in a buffer of the model, and the labels are a file in a zip
archive behind the model. Slots and numbers are those of `metadata_schema.fbs` in
tensorflow/tflite-support; fields that do not concern a classifier are left out.
"""

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers

from keras_resnet.export.files import lines, printable
from keras_resnet.manifest import Manifest

__all__ = ["NAME", "describe", "with_labels"]

NAME = "TFLITE_METADATA"  # of the entry in the model
LABELS = "labels.txt"
IDENTIFIER = b"M001"
PARSER = "1.0.0"  # the oldest version of a parser that knows every field
AXIS_LABELS = 2  # AssociatedFileType
COLOURS = {1: 2, 3: 1}  # ColorSpaceType by channels: grayscale, RGB
IMAGE_PROPERTIES = 2  # ContentProperties
NORMALIZATION = 1  # ProcessUnitOptions
DATE = (1980, 1, 1, 0, 0, 0)  # of the file in the archive, so that its bytes are always the same


@dataclass(frozen=True)
class _Field:
    """One field of a table; an "offset" is where another table, vector or string begins."""

    slot: int
    kind: str  # "offset", "byte" or "uint"
    value: int


def describe(manifest: Manifest, outputs: Sequence[str]) -> bytes:
    """Returns the metadata of a file that takes `images` of 0..255.

    Args:
        manifest: the shape of images, and the network's name.
        outputs: names of the outputs, in the order of the model.
    """
    builder = flatbuffers.Builder(1024)
    image = _image(builder, manifest)
    results = [_output(builder, name) for name in outputs]
    inputs = _vector(builder, [image])
    graph = _table(builder, 4, [_offset(2, inputs), _offset(3, _vector(builder, results))])
    network = builder.CreateString(printable(manifest.network))
    text = builder.CreateString("Image classifier; pixels of 0..255, normalized inside.")
    graphs = _vector(builder, [graph])
    parser = builder.CreateString(PARSER)
    fields = [_offset(0, network), _offset(1, text), _offset(3, graphs), _offset(7, parser)]
    builder.Finish(_table(builder, 8, fields), IDENTIFIER)
    return bytes(builder.Output())


def with_labels(content: bytes, labels: Sequence[str]) -> bytes:
    """Appends an archive with the labels, uncompressed, as its readers expect."""
    file = io.BytesIO(content)
    with zipfile.ZipFile(file, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(LABELS, DATE), lines(labels).encode())
    return file.getvalue()


def _image(builder: Any, manifest: Manifest) -> int:
    height, width, channels = manifest.image_shape
    size = _table(builder, 2, [_Field(0, "uint", width), _Field(1, "uint", height)])
    colour = _Field(0, "byte", COLOURS.get(channels, 0))
    properties = _table(builder, 2, [colour, _offset(1, size)])
    kind = _Field(0, "byte", IMAGE_PROPERTIES)
    content = _table(builder, 3, [kind, _offset(1, properties)])
    mean = _floats(builder, [0.0])
    std = _floats(builder, [1.0])
    options = _table(builder, 2, [_offset(0, mean), _offset(1, std)])
    unit = _table(builder, 2, [_Field(0, "byte", NORMALIZATION), _offset(1, options)])
    units = _vector(builder, [unit])
    highest = _floats(builder, [255.0])
    lowest = _floats(builder, [0.0])
    stats = _table(builder, 2, [_offset(0, highest), _offset(1, lowest)])
    name = builder.CreateString("images")
    fields = [_offset(0, name), _offset(3, content), _offset(4, units), _offset(5, stats)]
    return _table(builder, 7, fields)


def _output(builder: Any, name: str) -> int:
    fields = [_offset(0, builder.CreateString(name))]
    if name != "features":  # the other outputs have one value per class
        file = _offset(0, builder.CreateString(LABELS))
        labels = _table(builder, 5, [file, _Field(2, "byte", AXIS_LABELS)])
        fields.append(_offset(6, _vector(builder, [labels])))
    return _table(builder, 7, fields)


def _offset(slot: int, value: int) -> _Field:
    return _Field(slot, "offset", value)


def _table(builder: Any, slots: int, fields: Sequence[_Field]) -> int:
    add = {
        "offset": builder.PrependUOffsetTRelativeSlot,
        "byte": builder.PrependInt8Slot,
        "uint": builder.PrependUint32Slot,
    }
    builder.StartObject(slots)
    for field in fields:
        add[field.kind](field.slot, field.value, 0)
    return builder.EndObject()


def _vector(builder: Any, offsets: Sequence[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def _floats(builder: Any, values: Sequence[float]) -> int:
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependFloat32(value)
    return builder.EndVector()
