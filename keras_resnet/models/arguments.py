"""The arguments of `resnet` other than the spec, and their checks."""

import operator
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import keras
from keras import KerasTensor as Tensor

from keras_resnet import family
from keras_resnet.network import Activation, Pooling, ResidualNetwork, Top, build
from keras_resnet.specs import IMAGE, Spec, positive

__all__ = ["AUTO", "Door", "Shape"]

Shape = Sequence[int | None]
AUTO = "auto"  # the activation of the weights
MOST_CHANNELS = 64  # at most, of an image that is 1, 3 or 4 pixels high


@dataclass(frozen=True)
class Door:
    """The arguments of `resnet` that are not fields of the spec and do not concern weights.

    Raises:
        ValueError, TypeError: for arguments that contradict each other.
    """

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
        if self.classes is not None:
            object.__setattr__(self, "classes", positive("classes", self.classes))

    @property
    def classifies(self) -> bool:
        """Whether the network ends in a classifier."""
        return self.include_top and not self.endpoints

    def build(
        self, spec: Spec, network: str, *, channels: int, classes: int, activation: Activation
    ) -> ResidualNetwork:
        """Builds the network of a spec.

        Args:
            spec: the architecture.
            network: the name of the model, unless the caller or the family has one for the spec.
            channels: of an image, unless the caller gives them.
            classes: outputs of the classifier, unless the caller gives them.
            activation: of the logits, unless the caller gives it.
        """
        image = _image(self.input_tensor, self.input_shape, channels)
        name = self.name or family.name_of(spec, network)
        return build(image, spec, name, None if self.endpoints else self._top(classes, activation))

    def _top(self, classes: int, activation: Activation) -> Top:
        if not self.include_top:
            return Top(self.pooling)
        classes = self.classes or classes
        asked = self.classifier_activation
        if not isinstance(asked, str) or asked != AUTO:
            activation = asked
        if classes == 1 and activation in ("softmax", keras.activations.softmax):
            raise ValueError(
                "a softmax of one output is always 1: with classes=1 give"
                ' classifier_activation="sigmoid", or None for the logit'
            )
        return Top(classes=classes, activation=activation)


def _image(tensor: Any, shape: Any, channels: int) -> Tensor:
    if tensor is None:
        known = (None, None, channels) if shape is None else _image_shape(shape)
        return keras.Input(known, name=IMAGE)
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
    """Converts a sequence of integers and None to (height, width, channels)."""
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
    """Refuses a shape that is certainly channels first: 1, 3 or 4 rows and many channels.

    If Keras is set to channels first, more than 4 channels are enough.
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
            f"include_top must be True or False, got {include_top!r}; the other package"
            " named keras_resnet took a tensor first: pass it as input_tensor="
        )
    if not isinstance(endpoints, bool):
        raise TypeError(f"endpoints must be True or False, got {endpoints!r}")
    if pooling not in (None, "avg", "max"):
        raise ValueError(f"pooling must be None, 'avg' or 'max', got {pooling!r}")
    if include_top and pooling == "max":
        raise ValueError("pooling='max' needs include_top=False: the classifier averages")
