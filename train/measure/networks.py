"""The networks that are measured together, and their outputs as the classes of a data set."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import keras
import numpy as np
import tensorflow as tf

from keras_resnet import console, labels
from keras_resnet.manifest import Manifest
from keras_resnet.models.weights_flags import Trained
from keras_resnet.preprocessing import Preprocessing
from keras_resnet.preprocessing.views import Look, whole as everything
from train.datasets.examples import Element, Examples, Pair

Places = tuple[int, ...]


@dataclass(frozen=True)
class Member:
    """One of the networks that are measured together.

    Attributes:
        model: from its input to logits.
        preprocessing: of its images.
        columns: the logits of the classes that are compared, in their order; None for all logits.
    """

    model: keras.Model
    preprocessing: Preprocessing
    columns: Places | None = None


def members(trained: Sequence[Trained], names: tuple[str, ...], *, only: bool) -> list[Member]:
    """Finds the classes that are compared among the logits of each network.

    Args:
        trained: networks whose preprocessing is known.
        names: of the classes that are compared: unless `only`, those of the first network.
        only: whether a network may have other classes, too, which are then left out: the softmax is
            that of these logits.

    Raises:
        ValueError: naming the file of a network that lacks a class or, unless `only`, has others;
            and for one class only, which every network would predict.
    """
    if only and len(names) == 1:
        raise ValueError(
            f"--only_classes would leave one class, {names[0]!r}, which is then always predicted:"
            " leave the flag out"
        )
    whose = "data set" if only else "first network"
    found = []
    for i, one in enumerate(trained):
        if not only and i == 0:
            found.append(Member(one.model, one.manifest.known_preprocessing()))
            continue
        try:
            places = matched(names, one.manifest, whose)
        except ValueError as error:
            raise ValueError(f"{one.file}: {error}") from error
        known = one.manifest.labels
        if not only and len(places) < len(known):
            raise ValueError(
                f"{one.file} has {len(known):,} classes, and {len(names):,} are compared: the"
                " networks of an ensemble need the same ones, or --only_classes"
            )
        columns = None if places == tuple(range(len(known))) else places
        found.append(Member(one.model, one.manifest.known_preprocessing(), columns))
    return found


def check_channels(examples: Examples, manifest: Manifest) -> None:
    """Raises a ValueError if a network takes images of another number of channels."""
    if manifest.image_shape[2] != examples.channels:
        raise ValueError(
            f"the network takes images of {manifest.image_shape[2]} channels, the data set has"
            f" {examples.channels}"
        )


def relabelled(examples: Examples, manifest: Manifest) -> Examples:
    """Returns the same examples with the network's labels, found by the names of the classes.

    If the network or the data set does not name its classes, they are compared by number, and a
    line says so; the labels are then those that are names.

    Args:
        examples: of a data set.
        manifest: of the network.

    Raises:
        ValueError: for classes that the network does not have, and for another number of channels.
    """
    check_channels(examples, manifest)
    known = manifest.labels
    places = matched(examples.labels, manifest, "data set")
    if places == tuple(range(len(known))):
        named = known != labels.numbers(len(known))
        return replace(examples, labels=known) if named else examples
    table = tf.constant(places, tf.int64)

    def decode(element: Element, look: Look = everything) -> Pair:
        image, label = examples.decode(element, look)
        return image, table[label]

    def gather(elements: Element) -> Pair:
        assert examples.gather
        images, labels = examples.gather(elements)
        return images, tf.gather(table, labels)

    counts = np.zeros(len(known), int)
    counts[list(places)] = examples.counts or 0
    own = tuple(counts.tolist()) if examples.counts else ()
    own_gather = gather if examples.gather else None
    return replace(examples, labels=known, decode=decode, gather=own_gather, counts=own)


def matched(names: tuple[str, ...], manifest: Manifest, whose: str) -> Places:
    """Returns for each class the index of its logit.

    Args:
        names: of the classes.
        manifest: of the network.
        whose: whose classes they are, for people, such as "data set".

    Raises:
        ValueError: for classes that the network does not have.
    """
    known = manifest.labels
    if len(known) == 1:
        raise ValueError(
            f"the network has one output, {known[0]!r}: it says yes or no, and cannot be measured"
            f" on {len(names)} classes"
        )
    try:
        return labels.places(names, known)
    except ValueError:
        nameless = _nameless(names, manifest, whose)
        if not nameless or len(names) != len(known):
            raise
        told = f"{names[0]!r} of the {whose} is {known[0]!r} of the network, and so on"
        console.say(f"the {nameless} does not name its classes; compared by number: {told}")
        return tuple(range(len(known)))


def _nameless(names: tuple[str, ...], manifest: Manifest, whose: str) -> str:
    """Returns which of the two has numbers instead of names: "network", `whose` or ""."""
    if not manifest.training and manifest.labels == labels.numbers(len(manifest.labels)):
        return "network"
    return whose if names == labels.numbers(len(names)) else ""
