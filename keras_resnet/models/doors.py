"""The doors: `resnet` builds a network by its name, `from_weights` the one that a file holds."""

import dataclasses
import os
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from keras import KerasTensor as Tensor

from keras_resnet import weights as weight_files
from keras_resnet.building import AUTO, Activation, Door, Pooling, Shape
from keras_resnet.family import spec as find_spec
from keras_resnet.network import ResidualNetwork, ending_of
from keras_resnet.preprocessing import Preprocessing
from keras_resnet.rewrite.int8 import quantized
from keras_resnet.specs import FIELDS
from keras_resnet.weights import Held, Settled, Told
from keras_resnet.weights.complete import check_layers

# Fields that change what is computed, and no weights: as the caller says, or the name.
COMPUTATION = ("zero_gamma", "stochastic_depth", "output_stride")
ENDINGS: dict[str, str | None] = {"none": None}  # activations of a manifest, in Keras's words


def resnet(
    network: str,
    *,
    include_top: bool = True,
    weights: str | os.PathLike[str] | Held | None = None,
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
            network, and for those that leave something open that nobody has said.
    """
    door = Door(include_top, input_tensor, input_shape, pooling, classes, classifier_activation,
                name, endpoints)  # fmt: skip
    wanted = find_spec(network, **fields | ({} if classes is None else {"classes": classes}))
    if weights is None:
        _check_alone(source=source, prefix=prefix, preprocessing=preprocessing)
        return door.build(wanted, network, 3, "softmax")
    told = Told(network, fields=fields, preprocessing=preprocessing)
    with ExitStack() as stack:
        if isinstance(weights, Held):
            held = weights
        else:
            file = weight_files.local(weights, network, head=door.classifies)
            held = stack.enter_context(weight_files.opened(file, source, prefix))
        settled = held.settle(told)
        held.check(settled.spec, wanted)
        free = {name: getattr(wanted, name) for name in COMPUTATION}
        settled = settled._replace(spec=replace(settled.spec, **free))
        return fill_from(held, settled, door, network)


def from_weights(
    weights: str | os.PathLike[str],
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
        ValueError: if the weights leave something open that nobody has said; the message lists the
            choices.
    """
    fields = {name: value for name, value in arguments.items() if name in FIELDS}
    others = {name: value for name, value in arguments.items() if name not in FIELDS}
    classes = fields.pop("classes", None)
    unknown = sorted(set(others) - {field.name for field in dataclasses.fields(Door)})
    if unknown:
        raise TypeError(f"unknown argument {', '.join(unknown)}; the fields are {list(FIELDS)}")
    told = Told(fields=fields, preprocessing=preprocessing)
    with weight_files.opened(weight_files.local(weights), source, prefix) as held:
        others.setdefault("include_top", held.classes is not None or classes is not None)
        door = Door(**others, classes=classes)
        settled = held.settle(told)
        return fill_from(held, settled, door, settled.manifest.network)


def fill_from(held: Held, settled: Settled, door: Door, network: str) -> ResidualNetwork:
    """Builds what a caller wants of an open file of weights, and fills it."""
    spec, manifest = settled.spec, settled.manifest
    if door.classes is not None:
        spec = replace(spec, classes=door.classes)
    fresh = door.classifies and door.classes not in (None, held.classes)
    ending = manifest.activation or held.head or "softmax"
    model = door.build(spec, network, held.evidence.proof.channels, ENDINGS.get(ending, ending))
    if manifest.quantized:
        model = quantized(model)
    check_layers(held, model)
    weight_files.fill(model, held, settled.spec, fresh_head=fresh)
    channels = model.get_layer("stem_conv1").kernel.shape[2]
    model.manifest = replace(
        weight_files.adapted(manifest, spec, channels),
        activation=ending_of(model) if door.classifies else manifest.activation,
    )
    return model


def _check_alone(**arguments: Any) -> None:
    given = [name for name, value in arguments.items() if value is not None]
    if given:
        raise ValueError(f"{', '.join(given)} are of weights, and none are given")


resnet.from_weights = from_weights  # type: ignore[attr-defined]
