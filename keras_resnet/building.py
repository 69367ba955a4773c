"""Whole networks: a spec, and what a caller wants beside it, become a model.

The graph is flat and functional, so that every layer can be reached by its name, such as
`stage2_block1_conv3_bn`. Images are channels-last, as `keras_resnet.preprocess` returns them.
"""

import operator
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import keras
from keras import KerasTensor as Tensor, layers

from keras_resnet import blocks
from keras_resnet.family import name_of
from keras_resnet.network import ResidualNetwork
from keras_resnet.specs import Spec

Activation = str | Callable[[Any], Any] | None
Pooling = Literal["avg", "max"] | None
Shape = Sequence[int | None]
AUTO = "auto"  # an activation: that of the weights

# Keras walks a graph by recursion, one frame a layer, also when it loads or copies a model, and
# ResNet-1202 is a path of 4,200 layers. Python frames do not use the C stack.
sys.setrecursionlimit(max(20_000, sys.getrecursionlimit()))

# No ReLU follows the classifier, so that He's gain of 2 becomes 1 (arXiv:1502.01852).
CLASSIFIER_INIT = {
    "class_name": "VarianceScaling",
    "config": {"scale": 1.0, "mode": "fan_in", "distribution": "untruncated_normal"},
}

MOST_CHANNELS = 64  # more than images have that are one, three or four pixels high


@dataclass(frozen=True)
class Door:
    """What a caller wants of a network beside its spec."""

    include_top: bool = True
    input_tensor: Any = None
    input_shape: Any = None
    pooling: Pooling = None
    classes: int | None = None
    classifier_activation: Activation = AUTO
    name: str | None = None
    endpoints: bool = False

    def __post_init__(self) -> None:
        _check_top(self.include_top, self.pooling, self.endpoints)

    @property
    def classifies(self) -> bool:
        return self.include_top and not self.endpoints

    def build(self, spec: Spec, network: str, channels: int, ending: Activation) -> ResidualNetwork:
        """Builds the network; `channels` and `ending` count where the caller says nothing."""
        image = _image(self.input_tensor, self.input_shape, channels)
        activation = self.classifier_activation
        if isinstance(activation, str) and activation == AUTO:
            activation = ending
        if self.classifies:
            _check_head(activation, spec.classes)
        top = partial(_top, top=self.include_top, pooling=self.pooling, activation=activation)
        name = self.name or name_of(spec, network)
        return _build(spec, image=image, name=name, top=None if self.endpoints else top)


def _check_head(activation: Any, classes: int) -> None:
    if classes == 1 and activation in ("softmax", keras.activations.softmax):
        raise ValueError(
            "a softmax of one output is always 1: with classes=1 give"
            ' classifier_activation="sigmoid", or None for the logit'
        )


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


def _image(tensor: Any, shape: Any, channels: int) -> Tensor:
    if tensor is None:
        known = (None, None, channels) if shape is None else _image_shape(shape)
        return keras.Input(known, name="image")
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
