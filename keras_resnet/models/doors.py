"""`resnet` builds a network by name, `from_weights` the network of a file of weights."""

import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from keras import KerasTensor as Tensor

from keras_resnet import family, weights as weight_files
from keras_resnet.manifest import Manifest
from keras_resnet.models.arguments import AUTO, Door, Shape
from keras_resnet.network import Activation, Pooling, ResidualNetwork, ending_of
from keras_resnet.preprocessing import Preprocessing
from keras_resnet.rewrite.int8 import quantized
from keras_resnet.specs import FIELDS, stem_conv
from keras_resnet.weights import Held, Told
from keras_resnet.weights.filling import check_layers

__all__ = ["fill_from", "from_weights", "resnet"]

Weights = str | os.PathLike[str] | Held
ENDINGS: dict[str, str | None] = {"none": None}  # activations of a manifest, as Keras calls them


def resnet(
    network: str,
    *,
    include_top: bool = True,
    weights: Weights | None = None,
    source: str | None = None,
    prefix: str | None = None,
    preprocessing: Preprocessing | str | None = None,
    input_tensor: Tensor | None = None,
    input_shape: Shape | None = None,
    pooling: Pooling = None,
    classes: int | None = None,
    classifier_activation: Activation = AUTO,
    name: str | None = None,
    endpoints: bool = False,
    **fields: Any,
) -> ResidualNetwork:
    """Builds a network of the family, such as `resnet("resnet34", shortcut="C")`.

    Args:
        network: a name in `keras_resnet.FAMILY`.
        include_top: whether the network ends in global average pooling and the classifier.
        weights: None for random initialization; a file, a URL or "hf://owner/name" of any source
            in `keras_resnet.weights.SOURCES`; a name in `keras_resnet.list_weights()`, such as
            "imagenet" for the weights of keras.applications, or "cifar10" for those that this
            package trained; or an open file from `keras_resnet.weights.opened`.
        source: of the weights, a name in `SOURCES`; by default recognized by their content.
        prefix: of the names of the tensors to read, such as "backbone."; it is removed from them.
        preprocessing: that the weights were trained with, if the file does not state it or is
            wrong: a `Preprocessing`, or a name in `keras_resnet.preprocessing.MODES`.
        input_tensor: a Keras tensor [batch, height, width, channels] to use as the image.
        input_shape: (height, width, channels) of an image; sides may be None. By default any size,
            and the channels of the weights, or 3.
        pooling: with `include_top=False`: None for the last feature map, "avg" or "max" to pool
            it.
        classes: outputs of the classifier; by default those of the weights, otherwise 1000, or 10
            for the CIFAR networks. If the weights have another number of classes, the classifier
            keeps its random initialization, to be trained, and a warning says so.
        classifier_activation: what follows the logits, as for `keras.layers.Activation`; None for
            the logits themselves. By default ("auto") that of the weights, or "softmax".
        name: of the model; by default that of the network with these fields in the family.
        endpoints: whether to return a dictionary of feature maps: stem, stage1, stage2, ...
        **fields: any field of `keras_resnet.Spec`, such as `shortcut` or `output_stride`. They
            override the conventions of the source of the weights.

    Returns:
        A model from images [batch, height, width, channels] in the range that its `preprocessing`
        returns, to probabilities or logits [batch, classes] or to features [batch, filters], which
        are float32 also under mixed dtype policies, or to feature maps [batch, h, w, filters].

    Raises:
        ValueError: for an invalid value, for arguments that contradict each other, for weights of
            another network, and if neither weights nor arguments determine the network.
        TypeError: for an argument of a wrong type, or an unknown one.
    """
    door = Door(
        include_top=include_top,
        input_tensor=input_tensor,
        input_shape=input_shape,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        name=name,
        endpoints=endpoints,
    )
    if weights is None:
        _check_alone(source=source, prefix=prefix, preprocessing=preprocessing)
        spec = family.spec(network, **fields)
        usual = family.PUBLISHED[network].classes
        return door.build(spec, network, channels=3, classes=usual, activation="softmax")
    told = Told(network, fields=fields, preprocessing=preprocessing, exact=True)
    with _opened(weights, source, prefix, network, head=door.classifies) as held:
        return fill_from(held, held.settle(told), door, network)


def from_weights(
    weights: Weights,
    *,
    source: str | None = None,
    prefix: str | None = None,
    preprocessing: Preprocessing | str | None = None,
    **arguments: Any,
) -> ResidualNetwork:
    """Builds the network that a file of weights belongs to, with these weights.

    A file without a classifier gives a network without one.

    Args:
        weights: a file, a URL, "hf://owner/name", or an open file, as in `resnet`; or data set and
            network of weights of this package, such as "cifar10/resnet20".
        source: as in `resnet`.
        prefix: as in `resnet`.
        preprocessing: as in `resnet`.
        **arguments: any other argument of `resnet`, and fields of the spec: those on which weights
            do not depend, such as `output_stride`, and those that the file does not determine, such
            as `stem_pool`.

    Returns:
        A model as from `resnet`, with `manifest` and `preprocessing` of the weights.

    Raises:
        ValueError: for a missing or damaged file, for arguments that the file contradicts, and if
            neither file nor arguments determine the network; the message lists the choices.
        TypeError: for an unknown argument.
    """
    fields = {name: value for name, value in arguments.items() if name in FIELDS}
    asked = {name: value for name, value in arguments.items() if name not in FIELDS}
    unknown = sorted(set(asked) - {field.name for field in dataclasses.fields(Door)})
    if unknown:
        raise TypeError(f"unknown argument {', '.join(unknown)}; the fields are {list(FIELDS)}")
    told = Told(fields=fields, preprocessing=preprocessing)
    with _opened(weights, source, prefix) as held:
        asked.setdefault(
            "include_top", held.classes is not None or asked.get("classes") is not None
        )
        manifest = held.settle(told)
        return fill_from(held, manifest, Door(**asked), manifest.network)


@contextmanager
def _opened(
    weights: Weights,
    source: str | None,
    prefix: str | None,
    network: str | None = None,
    *,
    head: bool = True,
) -> Iterator[Held]:
    """Opens a file of weights, unless it is already open."""
    if isinstance(weights, Held):
        if source is not None or prefix is not None:
            raise ValueError(
                "source and prefix are arguments of weights.opened, not of an open file"
            )
        yield weights
        return
    file = weight_files.local(weights, network, head=head)
    with weight_files.opened(file, source, prefix) as held:
        yield held


def fill_from(held: Held, manifest: Manifest, door: Door, network: str) -> ResidualNetwork:
    """Builds a network from an open file of weights, and fills it.

    Args:
        held: the open file.
        manifest: what it holds, from `held.settle`.
        door: the arguments of the caller.
        network: the name of the model, unless the caller or the family has one for the spec.

    Returns:
        The network with its weights and a manifest that fits it.

    Raises:
        ValueError: if layers or weights of the file do not fit the network.
    """
    activation = manifest.activation or held.head or "softmax"
    model = door.build(
        manifest.spec,
        network,
        channels=held.evidence.proof.channels,
        classes=len(manifest.labels),
        activation=ENDINGS.get(activation, activation),
    )
    if manifest.quantized:
        model = quantized(model)
    check_layers(held, model)
    fresh = door.classifies and door.classes not in (None, held.classes)
    weight_files.fill(model, held, manifest.spec, fresh_head=fresh)
    channels = model.get_layer(stem_conv(1)).kernel.shape[2]
    manifest = weight_files.adapted(manifest, channels, door.classes or len(manifest.labels))
    if door.classifies:
        manifest = replace(manifest, activation=ending_of(model))
    model.manifest = manifest
    return model


def _check_alone(**arguments: Any) -> None:
    given = [name for name, value in arguments.items() if value is not None]
    if given:
        raise ValueError(f"{', '.join(given)} cannot be given without weights")


resnet.from_weights = from_weights  # type: ignore[attr-defined]
