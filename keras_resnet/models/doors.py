"""The doors: `resnet` builds a network by its name, `from_weights` the one that a file holds."""

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
from keras_resnet.weights.fill import check_layers

__all__ = ["fill_from", "from_weights", "resnet"]

Weights = str | os.PathLike[str] | Held
ENDINGS: dict[str, str | None] = {"none": None}  # activations of a manifest, in Keras's words


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
        include_top: whether global average pooling and the classifier end the network.
        weights: None for random ones; a file, URL or "hf://owner/name" of any source in
            `keras_resnet.weights.SOURCES`; or "imagenet" for those of keras.applications.
        source: of the weights; by default known from their content.
        prefix: of the names of the tensors to read, such as "backbone."; it is taken off.
        preprocessing: how the weights were trained to see pixels, if they do not say it or are
            wrong: a `Preprocessing`, or a name in `keras_resnet.preprocessing.MODES`.
        input_tensor: a Keras tensor [batch, height, width, channels] to use as the image.
        input_shape: of an image, by default any size and the channels of the weights, or 3.
        pooling: without the top, None for the last feature map, "avg" or "max" to pool it.
        classes: outputs of the classifier; by default those of the weights, or else 1000, or 10
            for the CIFAR networks. Weights of other classes leave the classifier fresh, to be
            trained, and say so.
        classifier_activation: what follows the logits, as `keras.layers.Activation` takes it; None
            for the logits, which are float32 under any policy. By default ("auto") what the
            weights say, or "softmax" where they say nothing.
        name: of the model; by default the network's, `resnet50_v1_5` if the fields make it that.
        endpoints: return the feature maps by name instead: stem, stage1, stage2, ...
        **fields: any field of `keras_resnet.Spec`, such as `shortcut` or `output_stride`. What is
            said here counts more than what is usual for the source of the weights.

    Raises:
        ValueError, TypeError: naming what came and what is allowed; for weights of another
            network, and for weights that leave open what the arguments do not say.
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

    A file without a classifier becomes a network without one.

    Args:
        weights: as of `resnet`.
        source: as of `resnet`.
        prefix: as of `resnet`.
        preprocessing: as of `resnet`.
        **arguments: any other of `resnet`, and fields of the spec that weights do not depend on,
            such as `output_stride`, or leave open, such as `stem_pool`.

    Raises:
        ValueError: if the weights leave open what the arguments do not say; the message lists the
            choices.
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
    """Opens a file of weights, unless it is open."""
    if isinstance(weights, Held):
        if source is not None or prefix is not None:
            raise ValueError("source and prefix are given where the file of weights is opened")
        yield weights
        return
    file = weight_files.local(weights, network, head=head)
    with weight_files.opened(file, source, prefix) as held:
        yield held


def fill_from(held: Held, manifest: Manifest, door: Door, network: str) -> ResidualNetwork:
    """Builds what a caller wants of an open file of weights, and fills it.

    Args:
        held: the open file.
        manifest: what it holds, from `held.settle`.
        door: what the caller wants.
        network: the name of the model where the family has no other for its spec.

    Raises:
        ValueError: if the file has other layers or weights than the network.
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
        raise ValueError(f"{', '.join(given)} are of weights, and none are given")


resnet.from_weights = from_weights  # type: ignore[attr-defined]
