"""A trained network named on a command line: the flags that evaluation and export share."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from keras_resnet import preprocessing, specs, weights
from keras_resnet.manifest import ACTIVATIONS, Manifest
from keras_resnet.models.arguments import Door
from keras_resnet.models.doors import fill_from
from keras_resnet.network import ResidualNetwork
from keras_resnet.preprocessing.resizing import METHODS
from keras_resnet.weights import Held, Told

FLAGS = flags.FLAGS
ORDERS = ("rgb", "bgr")
NAMES = (*specs.FIELDS, "classes")  # of --field


def define_flags() -> None:
    """Defines what a user can say of a file of weights; what is not said, the file has to say."""
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
    flags.DEFINE_string(
        "prefix", None, "Of the names of the tensors to read, such as backbone.; it is taken off."
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
    flags.DEFINE_list("mean", None, "Grey levels of 0..255 to subtract: one, or one per channel.")
    flags.DEFINE_list("std", None, "Grey levels to divide by: one, or one per channel.")
    flags.DEFINE_enum("channel_order", None, ORDERS, "Of the network's input, and of mean and std.")
    flags.DEFINE_list(
        "image_size", None, "Pixels a side, or height,width; by default what the weights say."
    )
    flags.DEFINE_float(
        "crop", None, "Share of a side that the central crop keeps; by default the weights'.", 0, 1
    )
    flags.DEFINE_enum("interpolation", None, list(METHODS), "How images are resized.")
    flags.DEFINE_enum(
        "activation", None, ACTIVATIONS, "What follows the logits; by default what the weights say."
    )


def told() -> Told:
    """Returns what the flags say of a file of weights.

    Raises:
        ValueError, TypeError: for values that are none.
    """
    changes: dict[str, Any] = {
        "mean": FLAGS.mean and _numbers("mean", FLAGS.mean, float),
        "std": FLAGS.std and _numbers("std", FLAGS.std, float),
        "bgr": None if FLAGS.channel_order is None else FLAGS.channel_order == "bgr",
        "image_size": FLAGS.image_size and image_size(FLAGS.image_size),
        "crop": FLAGS.crop,
        "interpolation": FLAGS.interpolation,
    }
    fields = parse_fields(FLAGS.field)
    return Told(
        FLAGS.network,
        classes=fields.pop("classes", None),
        fields=fields,
        preprocessing=FLAGS.preprocessing,
        preprocessing_fields={name: value for name, value in changes.items() if value is not None},
        activation=FLAGS.activation,
    )


class Trained(NamedTuple):
    """A network with its weights."""

    model: ResidualNetwork  # returns logits
    manifest: Manifest
    file: Path  # that the weights are from


def from_flags(*, ends: bool = False) -> Trained:
    """Builds the network that the flags name, and reads its weights.

    Args:
        ends: whether the activation after the logits has to be known.

    Raises:
        ValueError, TypeError: if flags and file contradict each other, or say too little; and for
            a file without a classifier.
    """
    file = weights.local(FLAGS.weights, FLAGS.network)
    with weights.opened(file, FLAGS.source, FLAGS.prefix) as held:
        manifest = held.settle(told())
        if held.classes is None:
            raise ValueError(f"{file} has no classifier: give weights that have one")
        manifest.known_preprocessing()  # an error before anything is built
        if ends:
            _check_ending(held, manifest)
        door = Door(input_shape=manifest.image_shape, classifier_activation=None)
        model = fill_from(held, manifest, door, manifest.network)
    model.manifest = manifest
    return Trained(model, manifest, file)


def _check_ending(held: Held, manifest: Manifest) -> None:
    allowed = ", ".join(ACTIVATIONS)
    if manifest.activation is None and held.head:
        raise ValueError(f"{held.path} ends in {held.head}; allowed are {allowed}")
    if manifest.activation is None:
        raise ValueError(
            f"{held.path} does not say what follows its logits: give --activation, one of {allowed}"
        )


def parse_fields(assignments: Iterable[str]) -> dict[str, Any]:
    """Reads `["shortcut=C", "zero_gamma=true"]`; values are JSON, or strings without quotes."""
    fields = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or name not in NAMES:
            raise ValueError(
                f"a field is given as NAME=VALUE, got {assignment!r}; the names are"
                f" {', '.join(NAMES)}"
            )
        try:
            fields[name] = json.loads(text)
        except json.JSONDecodeError:
            fields[name] = PYTHON.get(text, text)
    return fields


# What people write who think of Python.
PYTHON = {"None": None, "True": True, "False": False}


def image_size(texts: list[str]) -> int | tuple[int, int]:
    """Reads a size of images: `["224"]`, or height and width."""
    sizes = _numbers("image_size", texts, int)
    if len(sizes) > 2 or min(sizes) < 1:
        raise ValueError(f"image_size must be a side, or height,width, got {','.join(texts)!r}")
    return sizes[0] if len(set(sizes)) == 1 else (sizes[0], sizes[1])


def _numbers(name: str, texts: list[str], kind: type) -> tuple[Any, ...]:
    try:
        return tuple(kind(text) for text in texts)
    except ValueError as error:
        raise ValueError(f"{name} must be numbers, got {','.join(texts)!r}") from error
