"""Whole networks: `resnet` walks a spec from the image to logits or endpoints.

The graph is flat and functional, so that every layer can be reached by its name, such as
`stage2_block1_conv3_bn`. Images are channels-last, as `keras_resnet.preprocess` returns them.
"""

import operator
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from typing import Any, Literal

import keras
from keras import KerasTensor as Tensor, layers

from keras_resnet import blocks, weights as weight_files
from keras_resnet.family import name_of, spec as find_spec
from keras_resnet.network import ResidualNetwork
from keras_resnet.quantization import quantized
from keras_resnet.specs import Spec
from keras_resnet.weights import Held

Activation = str | Callable[[Any], Any] | None
Pooling = Literal["avg", "max"] | None
Shape = Sequence[int | None]

# Keras walks a graph by recursion, one frame a layer, also when it loads or copies a model, and
# ResNet-1202 is a path of 4,200 layers. Python frames do not use the C stack.
sys.setrecursionlimit(max(20_000, sys.getrecursionlimit()))

# No ReLU follows the classifier, so that He's gain of 2 becomes 1 (arXiv:1502.01852).
CLASSIFIER_INIT = {
    "class_name": "VarianceScaling",
    "config": {"scale": 1.0, "mode": "fan_in", "distribution": "untruncated_normal"},
}

MOST_CHANNELS = 64  # more than images have that are one, three or four pixels high


def resnet(
    network: str,
    *,
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    source: str | None = None,
    input_tensor: Tensor | None = None,
    input_shape: Shape | None = None,
    pooling: Pooling = None,
    classes: int | None = None,
    classifier_activation: Activation = "softmax",
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
        input_tensor: a Keras tensor [batch, height, width, channels] to use as the image.
        input_shape: of an image, by default (None, None, 3): any size.
        pooling: without the top, None for the last feature map, "avg" or "max" to pool it.
        classes: outputs of the classifier; by default those of the weights, or else 1000, or 10
            for the CIFAR networks. Weights of other classes leave the classifier fresh.
        classifier_activation: None for logits, which are float32 under any policy.
        name: of the model; by default the network's, `resnet50_v1_5` if the fields make it that.
        endpoints: return the feature maps by name instead: stem, stage1, stage2, ...
        **fields: any field of `keras_resnet.Spec`, such as `shortcut` or `output_stride`.

    Raises ValueError or TypeError, naming what came and what is allowed.
    """
    _check_top(include_top, pooling, endpoints)
    spec = find_spec(network, **fields | ({} if classes is None else {"classes": classes}))
    image, name = _image(input_tensor, input_shape), name or name_of(spec, network)
    top = partial(_top, top=include_top, pooling=pooling, activation=classifier_activation)
    build = partial(_build, image=image, name=name, top=None if endpoints else top)
    if weights is None:
        return build(spec)
    with weight_files.opened(weight_files.local(weights, network), source, asdict(spec)) as held:
        return _with_weights(build, spec, held, fixed_classes=classes is not None)


def from_weights(
    weights: str | os.PathLike[str], *, source: str | None = None, **arguments: Any
) -> ResidualNetwork:
    """Builds the network that a file of weights belongs to, with these weights.

    Args:
        weights: as of `resnet`.
        source: as of `resnet`.
        **arguments: any other of `resnet`, and fields that weights do not depend on, such as
            `output_stride`, or do not tell.

    Raises:
        ValueError: if the weights do not say what they belong to.
    """
    file = weight_files.local(weights)
    with weight_files.opened(file, source, arguments) as held:
        manifest = held.manifest
    if manifest is None:
        raise ValueError(
            f"{file} does not say what network it holds: give resnet(network, weights=)"
        )
    fields = {**manifest.fields, **arguments}
    return resnet(manifest.network, weights=file, source=source, **fields)


def _with_weights(
    build: Callable[[Spec], ResidualNetwork], spec: Spec, held: Held, *, fixed_classes: bool
) -> ResidualNetwork:
    held.check(spec)
    if not fixed_classes and held.classes:
        spec = replace(spec, classes=held.classes)
    model = build(spec)
    if held.manifest and held.manifest.quantized:
        model = quantized(model)
    weight_files.fill(model, held, spec, fresh_head=fixed_classes and held.classes != spec.classes)
    if held.manifest:
        channels = model.get_layer("stem_conv1").kernel.shape[2]
        model.manifest = weight_files.adapted(held.manifest, spec, channels)
    return model


def _build(
    spec: Spec, image: Tensor, name: str, top: Callable[..., Tensor] | None
) -> ResidualNetwork:
    endpoints = _backbone(image, spec)
    sources = keras.utils.get_source_inputs(image)
    inputs = sources[0] if len(sources) == 1 else sources
    model = ResidualNetwork(inputs, top(endpoints, spec) if top else endpoints, name=name)
    model.spec = spec
    return model


def _backbone(x: Tensor, spec: Spec) -> dict[str, Tensor]:
    x = blocks.stem(x, spec)
    endpoints = {"stem": x}
    for place in spec.places():
        endpoints[f"stage{place.stage}"] = x = blocks.block(x, spec, place)
    if spec.preact:
        endpoints[f"stage{place.stage}"] = blocks.norm(x, "final")
    return endpoints


def _top(
    endpoints: dict[str, Tensor],
    spec: Spec,
    *,
    top: bool,
    pooling: Pooling,
    activation: Activation,
) -> Tensor:
    x = list(endpoints.values())[-1]
    if not top and pooling is None:
        return x
    # Means of hundreds of pixels and the logits are worth 32 bits under any policy.
    dtype = keras.backend.result_type(keras.config.dtype_policy().variable_dtype, "float32")
    pool = layers.GlobalMaxPooling2D if pooling == "max" else layers.GlobalAveragePooling2D
    x = pool(data_format=blocks.DATA_FORMAT, dtype=dtype, name="pool")(x)
    if not top:
        return x
    x = layers.Dense(spec.classes, kernel_initializer=CLASSIFIER_INIT, dtype=dtype, name="logits")(
        x
    )
    if activation is None:
        return x
    return layers.Activation(activation, dtype=dtype, name="predictions")(x)


def _image(tensor: Any, shape: Any) -> Tensor:
    if tensor is None:
        return keras.Input((None, None, 3) if shape is None else _image_shape(shape), name="image")
    if shape is not None:
        raise ValueError("give input_tensor or input_shape, not both")
    if not keras.utils.is_keras_tensor(tensor):
        raise TypeError(f"input_tensor must be a Keras tensor, got {tensor!r}")
    if not _is_image_shape(tensor.shape[1:]):
        raise ValueError(
            f"input_tensor must be [batch, height, width, channels], got {tuple(tensor.shape)}"
        )
    _check_order("input_tensor", tuple(tensor.shape[1:]))
    return tensor


def _image_shape(shape: Any) -> tuple[int | None, ...]:
    """Returns (height, width, channels) as ints, from any sequence of integers and None."""
    found: tuple[Any, ...] = ()
    with suppress(TypeError, ValueError):  # ValueError: a TensorShape of unknown rank
        found = tuple(_whole(size) for size in shape)
    if not _is_image_shape(found):
        raise ValueError(
            f"input_shape must be (height, width, channels), such as (224, 224, 3) or"
            f" (None, None, 3), got {shape!r}"
        )
    _check_order("input_shape", found)
    return found


def _whole(size: Any) -> int | None:
    return size if size is None or isinstance(size, bool) else operator.index(size)


def _is_image_shape(shape: Any) -> bool:
    return (
        isinstance(shape, Sequence)
        and len(shape) == 3
        and all(size is None or (type(size) is int and size > 0) for size in shape)
        and shape[2] is not None
    )


def _check_order(name: str, shape: tuple[int | None, ...]) -> None:
    """Refuses what is surely channels first: a few rows, and more channels than images have.

    Where Keras is set to channels first, fewer channels than rows are enough to be sure.
    """
    rows, columns, channels = shape
    most = 4 if keras.config.image_data_format() == "channels_first" else MOST_CHANNELS
    if rows in (1, 3, 4) and channels is not None and channels > most:
        raise ValueError(
            f"{name} must be (height, width, channels) whatever keras.config.image_data_format()"
            f" says, got {shape}; transpose the images and give {(columns, channels, rows)}"
        )


def _check_top(include_top: Any, pooling: Any, endpoints: Any) -> None:
    if not isinstance(include_top, bool):
        raise TypeError(
            f"include_top must be True or False, got {include_top!r}; the other package of the"
            " name keras_resnet took a tensor first: pass it as input_tensor="
        )
    if not isinstance(endpoints, bool):
        raise TypeError(f"endpoints must be True or False, got {endpoints!r}")
    if pooling not in (None, "avg", "max"):
        raise ValueError(f"pooling must be None, 'avg' or 'max', got {pooling!r}")
    if include_top and pooling == "max":
        raise ValueError("pooling='max' needs include_top=False: the classifier averages")


resnet.from_weights = from_weights  # type: ignore[attr-defined]
