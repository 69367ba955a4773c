"""The flags by which a command line names a trained network, in evaluation and export."""

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

__all__ = ["Trained", "all_from_flags", "define_flags", "from_flags", "parse_fields", "told"]

FLAGS = flags.FLAGS
ORDERS = ("rgb", "bgr")
NAMES = (*specs.FIELDS, "classes")  # of --field


def define_flags() -> None:
    """Defines the flags that describe files of weights; the files determine the others."""
    flags.DEFINE_multi_string(
        "network", None, "Name of a network in keras_resnet.FAMILY, such as resnet50."
    )
    flags.DEFINE_multi_string(
        "weights",
        None,
        "File, URL or hf://owner/name of weights, of this package or any source; or a name in"
        " keras_resnet.list_weights(), such as imagenet or cifar10. An evaluation takes several,"
        " whose probabilities it averages; --network, --source, --prefix and --preprocessing are"
        " then given once for all, or once for each, in the same order.",
        required=True,
    )
    flags.DEFINE_multi_enum(
        "source",
        None,
        list(weights.SOURCES),
        "Source of the weights. Default: recognized by the content of the file.",
    )
    flags.DEFINE_multi_string(
        "prefix",
        None,
        "Prefix of the names of the tensors to read, such as backbone.; it is removed from them.",
    )
    flags.DEFINE_multi_string(
        "field",
        [],
        "Field of the architecture that differs from the network's, such as shortcut=C; may be"
        " repeated.",
    )
    flags.DEFINE_multi_enum(
        "preprocessing",
        None,
        sorted(preprocessing.MODES),
        "Published preprocessing by its name. Default: that of the weights.",
    )
    flags.DEFINE_list(
        "mean", None, "Value, or a value per channel, to subtract from pixels of 0 to 255."
    )
    flags.DEFINE_list("std", None, "Value, or a value per channel, to divide pixels by.")
    flags.DEFINE_enum(
        "channel_order", None, ORDERS, "Order of channels in the network's input, mean and std."
    )
    flags.DEFINE_list(
        "image_size", None, "Pixels per side, or height,width. Default: those of the weights."
    )
    flags.DEFINE_float(
        "crop", None, "Fraction of a side that the central crop keeps. Default: the weights'.", 0, 1
    )
    flags.DEFINE_enum(
        "interpolation",
        None,
        list(METHODS),
        "Interpolation by which images are resized. Default: that of the weights.",
    )
    flags.DEFINE_enum(
        "activation",
        None,
        ACTIVATIONS,
        "Activation after the logits. Default: that of the weights.",
    )


def told(place: int = 0) -> Told:
    """Returns what the flags state about a file of weights.

    Args:
        place: of the file among the --weights, from 0.

    Raises:
        ValueError, TypeError: for invalid values.
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
        _of_file("network", place),
        classes=fields.pop("classes", None),
        fields=fields,
        preprocessing=_of_file("preprocessing", place),
        preprocessing_fields={name: value for name, value in changes.items() if value is not None},
        activation=FLAGS.activation,
    )


class Trained(NamedTuple):
    """A network with its weights."""

    model: ResidualNetwork  # returns logits
    manifest: Manifest
    file: Path  # of the weights


def from_flags(*, ends: bool = False) -> Trained:
    """Builds the network that the flags name, with its weights.

    Args:
        ends: whether an unknown activation after the logits is an error.

    Raises:
        ValueError, TypeError: for several --weights; if flags and file contradict each other or do
            not determine the network and its preprocessing; and for a file without a classifier.
    """
    if len(FLAGS.weights) > 1:
        raise ValueError(
            f"--weights is given {len(FLAGS.weights)} times, and must be given once: only"
            " evaluations take several networks"
        )
    return _from_file(0, ends=ends)


def all_from_flags(*, any_size: bool = False) -> list[Trained]:
    """Builds each network that the flags name, with its weights, in their order.

    Args:
        any_size: whether the networks are for images of any size, not only for that of their
            preprocessing.

    Raises:
        ValueError, TypeError: as `from_flags`; for flags that are given neither once nor as often
            as --weights; and for a file that is given twice.
    """
    given = FLAGS.weights
    if twice := sorted({name for name in given if given.count(name) > 1}):
        raise ValueError(f"--weights={twice[0]} is given twice, and would only count double")
    return [_from_file(place, any_size=any_size) for place in range(len(given))]


def _of_file(name: str, place: int) -> Any:
    """Returns the value for one of the --weights of a flag that may be given for each; or None."""
    values = getattr(FLAGS, name)
    files = len(FLAGS.weights)
    if not values:
        return None
    if len(values) not in (1, files):
        raise ValueError(
            f"--{name} is given {len(values)} times for {files} --weights: give it once for all, or"
            " once for each, in the order of the weights"
        )
    return values[place if len(values) > 1 else 0]


def _from_file(place: int, *, ends: bool = False, any_size: bool = False) -> Trained:
    said = told(place)
    file = weights.local(FLAGS.weights[place], said.network)
    with weights.opened(file, _of_file("source", place), _of_file("prefix", place)) as held:
        manifest = held.settle(said)
        if held.classes is None:
            raise ValueError(f"{file} has no classifier: give weights with one")
        manifest.known_preprocessing()  # an error before anything is built
        if ends:
            _check_ending(held, manifest)
        shape = (None, None, manifest.image_shape[2]) if any_size else manifest.image_shape
        door = Door(input_shape=shape, classifier_activation=None)
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
    """Parses `["shortcut=C", "zero_gamma=true"]`; values are JSON, or strings without quotes.

    Raises:
        ValueError: for an unknown name, or without "=".
    """
    fields = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or name not in NAMES:
            raise ValueError(
                f"--field must be NAME=VALUE, got {assignment!r}; the names are {', '.join(NAMES)}"
            )
        try:
            fields[name] = json.loads(text)
        except json.JSONDecodeError:
            fields[name] = PYTHON.get(text, text)
    return fields


# Python's spelling of JSON's constants.
PYTHON = {"None": None, "True": True, "False": False}


def image_size(texts: list[str]) -> int | tuple[int, int]:
    """Parses the size of images: `["224"]`, or height and width.

    Raises:
        ValueError: unless it is one or two positive integers.
    """
    sizes = _numbers("image_size", texts, int)
    if len(sizes) > 2 or min(sizes) < 1:
        raise ValueError(f"image_size must be pixels, or height,width, got {','.join(texts)!r}")
    return sizes[0] if len(set(sizes)) == 1 else (sizes[0], sizes[1])


def _numbers(name: str, texts: list[str], kind: type) -> tuple[Any, ...]:
    try:
        return tuple(kind(text) for text in texts)
    except ValueError as error:
        raise ValueError(f"{name} must be numbers, got {','.join(texts)!r}") from error
