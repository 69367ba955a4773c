"""A trained network named on a command line: the flags that evaluation and export share."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from absl import flags

from keras_resnet import family, preprocessing, specs, weights
from keras_resnet.manifest import Manifest
from keras_resnet.models import resnet
from keras_resnet.network import ResidualNetwork

FLAGS = flags.FLAGS


def define_flags() -> None:
    flags.DEFINE_string("network", None, "A name in keras_resnet.FAMILY, such as resnet50.")
    flags.DEFINE_string(
        "weights",
        None,
        "A file, URL or hf://owner/name, of this package or any source; or imagenet.",
        required=True,
    )
    flags.DEFINE_enum(
        "source", None, list(weights.SOURCES), "Of the weights; by default known from the content."
    )
    flags.DEFINE_multi_string(
        "field", [], "A field of the spec that differs, such as shortcut=C; may be repeated."
    )
    flags.DEFINE_enum(
        "preprocessing",
        None,
        sorted(preprocessing.MODES),
        "How pixels are scaled; by default what the weights say.",
    )
    flags.DEFINE_integer("image_size", None, "Pixels a side; by default what the weights say.", 1)


def from_flags() -> tuple[ResidualNetwork, Manifest]:
    """Builds the network that the flags name; it returns logits and has its weights.

    Raises:
        ValueError, TypeError: if flags and file contradict each other, or say too little.
    """
    file = weights.local(FLAGS.weights, FLAGS.network)
    manifest = describe(
        file,
        FLAGS.network,
        parse_fields(FLAGS.field),
        FLAGS.preprocessing,
        FLAGS.image_size,
        FLAGS.source,
    )
    model = resnet(
        manifest.network,
        weights=file,
        source=FLAGS.source,
        input_shape=manifest.image_shape,
        classes=len(manifest.labels),
        classifier_activation=None,
        **manifest.fields,
    )
    model.manifest = manifest
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
    file: str | os.PathLike[str],
    network: str | None,
    fields: Mapping[str, Any],
    mode: str | None,
    image_size: int | None,
    source: str | None = None,
) -> Manifest:
    """Returns the manifest of a file of weights, with what its user says of it.

    A file of plain Keras, which says nothing, needs `network` and `mode`.

    Raises:
        ValueError: if user and file contradict each other, or say too little.
    """
    wanted = family.spec(network, **fields) if network else None
    told = asdict(wanted) if wanted else fields
    with weights.opened(weights.local(file, network), source, told) as held:
        found = held.manifest
        if found and wanted and network != found.network:
            try:
                held.check(wanted)
            except ValueError as error:
                raise ValueError(
                    f"{file} holds the weights of {found.network}, not of {network}: {error}"
                ) from error
    if found is None:
        if network is None or mode is None:
            raise ValueError(
                f"{file} does not say what it holds: give --network and --preprocessing"
            )
        return _assumed(network, fields, mode, image_size)
    known = {**found.fields, "classes": len(found.labels)}
    if family.spec(found.network, **{**known, **fields}) != family.spec(found.network, **known):
        raise ValueError(f"{file} was trained with {dict(found.fields)}, not with {fields}")
    size = image_size or found.preprocessing.image_size
    chosen = preprocessing.mode(mode) if mode else found.preprocessing
    chosen = replace(chosen, image_size=size, crop=found.preprocessing.crop)
    return replace(found, preprocessing=chosen, image_shape=(size, size, found.image_shape[2]))


def _assumed(
    network: str, fields: Mapping[str, Any], mode: str, image_size: int | None
) -> Manifest:
    spec = family.spec(network, **fields)
    size = image_size or spec.image_size
    crop = 0.875 if spec.stem_pool else 1.0
    scaling = preprocessing.mode(mode, image_size=size, crop=crop)
    changed = {name: value for name, value in fields.items() if name != "classes"}
    return Manifest(network, (size, size, 3), weights.labels(spec.classes), scaling, changed)
