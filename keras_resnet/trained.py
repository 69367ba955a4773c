"""A trained network named on a command line: the flags that evaluation and export share."""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import keras
from absl import flags

from keras_resnet import preprocessing, specs, weights
from keras_resnet.manifest import Manifest
from keras_resnet.models import resnet

FLAGS = flags.FLAGS


def define_flags() -> None:
    flags.DEFINE_string("network", None, "A name in keras_resnet.FAMILY, such as resnet50.")
    flags.DEFINE_string("weights", None, "A .weights.h5 or .keras file.", required=True)
    flags.DEFINE_multi_string(
        "field", [], "A field of the spec that differs, such as shortcut=C; may be repeated."
    )
    flags.DEFINE_enum(
        "preprocessing",
        None,
        sorted(preprocessing.MODES),
        "How pixels are scaled; by default what the file of weights says.",
    )
    flags.DEFINE_integer(
        "image_size", None, "Pixels a side; by default what the file of weights says.", 1
    )


def from_flags() -> tuple[keras.Model, Manifest]:
    """Builds the network that the flags name; it returns logits and has its weights.

    Raises:
        ValueError, TypeError: if flags and file contradict each other, or say too little.
    """
    manifest = describe(
        FLAGS.weights,
        FLAGS.network,
        parse_fields(FLAGS.field),
        FLAGS.preprocessing,
        FLAGS.image_size,
    )
    model = resnet(
        manifest.network,
        weights=FLAGS.weights,
        input_shape=manifest.image_shape,
        classes=len(manifest.labels),
        classifier_activation=None,
        **manifest.fields,
    )
    return model, manifest


def parse_fields(assignments: Iterable[str]) -> dict[str, Any]:
    """Reads `["shortcut=C", "zero_gamma=true"]`; values are JSON, or strings without quotes."""
    fields = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or name not in specs.FIELDS:
            raise ValueError(f"a field is given as NAME=VALUE, got {assignment!r}; the names are"
                             f" {', '.join(specs.FIELDS)}")  # fmt: skip
        try:
            fields[name] = json.loads(text)
        except json.JSONDecodeError:
            fields[name] = text
    return fields


def describe(
    file: str,
    network: str | None,
    fields: dict[str, Any],
    mode: str | None,
    image_size: int | None,
) -> Manifest:
    """Returns the manifest of a file of weights, with what its user says of it.

    A file that carries no manifest needs `network` and `mode`.
    """
    found = weights.read_manifest(file)
    if found is None:
        if network is None or mode is None:
            raise ValueError(
                f"{file} does not say what it holds: give --network and --preprocessing"
            )
        return _assumed(network, fields, mode, image_size)
    if network not in (None, found.network):
        raise ValueError(f"{file} holds the weights of {found.network}, not of {network}")
    known = {**found.fields, "classes": len(found.labels)}
    if specs.spec(found.network, **{**known, **fields}) != specs.spec(found.network, **known):
        raise ValueError(f"{file} was trained with {dict(found.fields)}, not with {fields}")
    size = image_size or found.preprocessing.image_size
    chosen = preprocessing.mode(mode) if mode else found.preprocessing
    chosen = replace(chosen, image_size=size, crop=found.preprocessing.crop)
    return replace(found, preprocessing=chosen, image_shape=(size, size, found.image_shape[2]))


def _assumed(network: str, fields: dict[str, Any], mode: str, image_size: int | None) -> Manifest:
    spec = specs.spec(network, **fields)
    size = image_size or spec.image_size
    names = tuple(name for _, name in preprocessing.imagenet_labels())
    labels = names if spec.classes == len(names) else tuple(map(str, range(spec.classes)))
    crop = 0.875 if spec.stem_pool else 1.0
    scaling = preprocessing.mode(mode, image_size=size, crop=crop)
    changed = {name: value for name, value in fields.items() if name != "classes"}
    return Manifest(network, (size, size, 3), labels, scaling, changed)
