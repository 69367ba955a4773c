"""The architecture of a residual network as data: `Spec`. Standard library only.

A network is a stem, the convolutions of one branch, and the number of blocks per stage. Every
published variant differs from the paper's network in one or two fields; `keras_resnet.family` lists
them.

Sources: He et al., arXiv:1512.03385 (v1, plain, options A to C, CIFAR nets) and
arXiv:1603.05027 (v2, ResNet-200, 164, 1001); Goyal et al., arXiv:1706.02677 (v1.5,
zero gamma); He et al., arXiv:1812.01187 (D); Zagoruyko & Komodakis,
arXiv:1605.07146 (wide); Huang et al., arXiv:1603.09382 (stochastic depth).
"""

import math
import operator
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple, Self, get_args

__all__ = [
    "ADD",
    "BASIC",
    "BLOCK",
    "BOTTLENECK",
    "BRANCH_CONV",
    "CHOICES",
    "DEEP_STEM",
    "FIELDS",
    "FINAL",
    "FREE",
    "HEAD",
    "IMAGE",
    "LOGITS",
    "NORM_SUFFIX",
    "POOL",
    "PREACT",
    "PREDICTIONS",
    "PROJECTION",
    "RETIRED",
    "STEM",
    "STEM_CONV",
    "STEM_POOL",
    "WIDE_BOTTLENECK",
    "Conv",
    "Padding",
    "Place",
    "Shortcut",
    "Spec",
    "StemPool",
    "StrideBlock",
    "StrideOn",
    "ZeroChannels",
    "differences",
    "is_norm",
    "is_rounding",
    "norm_of",
    "pad_of",
    "pattern",
    "positive",
    "relu_of",
    "rounding_of",
    "scale_of",
    "stage_name",
    "stem_conv",
]

Shortcut = Literal["A", "B", "C", "D"]
StemPool = Literal["symmetric", "ceil"]
StrideOn = Literal["first", "3x3"]
StrideBlock = Literal["first", "last"]
Padding = Literal["symmetric", "same"]
ZeroChannels = Literal["after", "around"]


class Conv(NamedTuple):
    """One convolution; its filters are absolute in a stem, multiples of the width in a branch."""

    kernel: int
    filters: int
    stride: int = 1


BASIC = (Conv(3, 1), Conv(3, 1))
BOTTLENECK = (Conv(1, 1), Conv(3, 1), Conv(1, 4))
WIDE_BOTTLENECK = (Conv(1, 2), Conv(3, 2), Conv(1, 4))
DEEP_STEM = (Conv(3, 32, 2), Conv(3, 32), Conv(3, 64))


# Names of layers. They never change: published weights are matched by name. Functions and
# properties of `Place` fill in these templates; `pattern` returns a regular expression that parses
# names.
IMAGE = "image"
STEM_CONV = "stem_conv{conv}"
STEM_POOL = "stem_pool"
BLOCK = "stage{stage}_block{block}"
BRANCH_CONV = BLOCK + "_conv{conv}"
PROJECTION = BLOCK + "_shortcut_conv"
PREACT = BLOCK + "_preact"
ADD = BLOCK + "_add"
FINAL = "final"  # normalizes the output of the last block of a pre-activation network
POOL = "pool"
LOGITS = "logits"
PREDICTIONS = "predictions"
NORM_SUFFIX = "_bn"
ROUNDING_SUFFIX = "_int8"


def pattern(template: str) -> re.Pattern[str]:
    """Returns a regular expression that matches names of a template; its fields are groups."""
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>\\d+)", re.escape(template)))


def stem_conv(number: int) -> str:
    """Returns the name of a convolution of the stem, counted from 1."""
    return STEM_CONV.format(conv=number)


def norm_of(layer: str) -> str:
    """Returns the name of the batch normalization after a layer."""
    return f"{layer}{NORM_SUFFIX}"


def is_norm(layer: str) -> bool:
    """Whether a layer of this name is a batch normalization."""
    return layer.endswith(NORM_SUFFIX)


def relu_of(layer: str) -> str:
    """Returns the name of the ReLU after a layer."""
    return f"{layer}_relu"


def pad_of(layer: str) -> str:
    """Returns the name of the layer that pads the input of a layer with zeros."""
    return f"{layer}_pad"


def rounding_of(layer: str) -> str:
    """Returns the name of the layer that rounds the output of a layer to int8."""
    return f"{layer}{ROUNDING_SUFFIX}"


def is_rounding(layer: str) -> bool:
    """Whether a layer of this name rounds to int8."""
    return layer.endswith(ROUNDING_SUFFIX)


def scale_of(norm: str) -> str:
    """Returns the name of the layer that replaces a batch normalization where it is not folded."""
    return f"{norm.removesuffix(NORM_SUFFIX)}_scale"


class Place(NamedTuple):
    """The position of a block in its network, its width and strides, and names of its layers."""

    stage: int  # from 1
    number: int  # from 1
    width: int
    stride: int
    dilation: tuple[int, int]  # of convolutions up to the strided one; of those after it
    drop: float  # probability that stochastic depth drops the branch

    @property
    def name(self) -> str:
        """Name of the block; the names of its layers begin with it."""
        return BLOCK.format(stage=self.stage, block=self.number)

    @property
    def part(self) -> str:
        """Name of the part of the network, a stage, to which the block belongs."""
        return stage_name(self.stage)

    @property
    def first(self) -> bool:
        """Whether it is the first block of the network."""
        return self.stage == self.number == 1

    def conv(self, number: int) -> str:
        """Name of a convolution of the branch, counted from 1."""
        return BRANCH_CONV.format(stage=self.stage, block=self.number, conv=number)

    @property
    def preact(self) -> str:
        """Name of the pre-activation; its normalization is `norm_of` it."""
        return PREACT.format(stage=self.stage, block=self.number)

    @property
    def shortcut(self) -> str:
        """First part of the names of layers in the shortcut."""
        return f"{self.name}_shortcut"

    @property
    def projection(self) -> str:
        """Name of the convolution that projects the shortcut."""
        return PROJECTION.format(stage=self.stage, block=self.number)

    @property
    def dropout(self) -> str:
        """Name of the layer that drops the branch, with stochastic depth."""
        return f"{self.name}_drop"

    @property
    def add(self) -> str:
        """Name of the layer that adds branch and shortcut."""
        return ADD.format(stage=self.stage, block=self.number)


STEM, HEAD = "stem", "head"  # parts of a network; between them are its stages


def stage_name(stage: int) -> str:
    """Returns the name of a stage, counted from 1, as a part and an endpoint."""
    return f"stage{stage}"


@dataclass(frozen=True)
class Spec:
    """The architecture of a network; the defaults are the paper's.

    Raises:
        ValueError: for a value that is not allowed, or fields that contradict each other.
        TypeError: for a value of a wrong type. Messages name the field, the value and what is
            allowed.
    """

    branch: tuple[Conv, ...]
    repeats: tuple[int, ...]  # blocks per stage; each stage doubles the width
    stem: tuple[Conv, ...] = (Conv(7, 64, 2),)  # its last filters are the first width
    stem_pool: StemPool | None = (
        "symmetric"  # max pooling 3x3/2, padded as in Torch or in Caffe; None: no pool
    )
    shortcut: Shortcut | None = "B"  # None: a plain network
    zero_channels: ZeroChannels = (
        "after"  # where option A adds zero channels; "around": half before
    )
    stride_on: StrideOn = "first"  # the convolution of a branch that strides
    stride_block: StrideBlock = (
        "first"  # the block of a stage that strides; "last" in keras.applications v2
    )
    padding: Padding = "symmetric"  # of strided convolutions; "same" as in TensorFlow
    preact: bool = False  # BN-ReLU before each convolution, not after
    stem_norm: bool = True  # BN-ReLU in the stem; optional with preact=True
    zero_gamma: bool = False  # the last BN of each branch starts at 0
    stochastic_depth: float = 0.0  # drop probability of the last branch; linear in depth
    output_stride: int | None = None  # largest total stride; later stages dilate instead

    def __post_init__(self) -> None:
        for name in ("branch", "stem"):
            object.__setattr__(self, name, _convs(name, getattr(self, name)))
        object.__setattr__(self, "repeats", _counts("repeats", self.repeats))
        for name in ("preact", "stem_norm", "zero_gamma"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be True or False, got {getattr(self, name)!r}")
        for name, kind in CHOICES.items():
            _choice(name, getattr(self, name), kind)
        self._check_rates()
        self._check_combinations()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Returns the spec of a dictionary from `dataclasses.asdict` or JSON.

        Fields that only version 0.1 had are ignored.

        Raises:
            ValueError, TypeError: as the constructor, and for an unknown field.
        """
        return cls(**{name: value for name, value in values.items() if name not in RETIRED})

    def _check_rates(self) -> None:
        rate = self.stochastic_depth
        if isinstance(rate, bool) or not isinstance(rate, int | float):
            raise TypeError(f"stochastic_depth must be a number in [0, 1), got {rate!r}")
        if not 0 <= rate < 1:
            raise ValueError(f"stochastic_depth must be in [0, 1), got {rate!r}")
        strides = [self.stem_stride * 2**i for i in range(len(self.repeats))]
        if self.output_stride is not None and self.output_stride not in strides:
            raise ValueError(f"output_stride must be one of {strides}, got {self.output_stride!r}")

    def _check_combinations(self) -> None:
        kernels = [conv.kernel for conv in self.branch]
        if not (self.stem_norm or self.preact):
            raise ValueError(
                "stem_norm=False needs preact=True, got preact=False: the input of the first block"
                " would have no activation"
            )
        if self.stride_on == "3x3" and 3 not in kernels:
            raise ValueError(f"stride_on='3x3' needs a 3x3 convolution, the branch has {kernels}")
        if self.zero_gamma and self.preact:
            raise ValueError(
                "zero_gamma=True needs preact=False: with preact=True a branch ends in a"
                " convolution, not in a BN, and a gamma of 0 before a ReLU has no gradient"
            )
        for name in ("zero_gamma", "stochastic_depth"):
            if self.shortcut is None and getattr(self, name):
                raise ValueError(
                    f"{name}={getattr(self, name)!r} needs a shortcut, got shortcut=None:"
                    " in a plain network the branches are the only path"
                )

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the network, from the image to the logits: stem, stage1, ..., head."""
        return (STEM, *(stage_name(i) for i in range(1, len(self.repeats) + 1)), HEAD)

    def check_parts(self, names: Collection[str]) -> None:
        """Raises ValueError if a name is not that of a part."""
        unknown = sorted(str(name) for name in set(names) - set(self.parts))
        if unknown:
            raise ValueError(f"the parts are {', '.join(self.parts)}; got {', '.join(unknown)}")

    @property
    def stem_stride(self) -> int:
        """Stride of the stem, its pooling included."""
        return math.prod(conv.stride for conv in self.stem) * (2 if self.stem_pool else 1)

    @property
    def strided(self) -> int:
        """Index, from 0, of the convolution of a branch that strides."""
        if self.stride_on == "first":
            return 0
        return [conv.kernel for conv in self.branch].index(3)

    def places(self) -> Iterator[Place]:
        """Yields the blocks from the image to the classifier.

        A stage that would exceed `output_stride` does not stride but doubles the dilation, so that
        its convolutions see the same pixels as in the network that strides.
        """
        total = self.stem_stride
        dilation = 1
        done = 0
        for stage, repeats in enumerate(self.repeats, 1):
            width = self.stem[-1].filters << (stage - 1)
            for number in range(1, repeats + 1):
                before = dilation
                stride = 1
                if self._strides(stage, number):
                    if total == self.output_stride:
                        dilation *= 2
                    else:
                        stride = 2
                        total *= 2
                done += 1
                drop = self.stochastic_depth * done / sum(self.repeats)
                yield Place(stage, number, width, stride, (before, dilation), drop)

    def output_of(self, place: Place) -> str:
        """Returns the name of the layer that computes the output of a block."""
        if not self.preact:
            return relu_of(place.name)
        return place.add if self.shortcut else place.conv(len(self.branch))

    def _strides(self, stage: int, number: int) -> bool:
        if self.stride_block == "first":
            return stage > 1 and number == 1
        return stage < len(self.repeats) and number == self.repeats[stage - 1]


CHOICES: dict[str, tuple[Any, ...]] = {
    "stem_pool": (*get_args(StemPool), None),
    "shortcut": (*get_args(Shortcut), None),
    "zero_channels": get_args(ZeroChannels),
    "stride_on": get_args(StrideOn),
    "stride_block": get_args(StrideBlock),
    "padding": get_args(Padding),
}


def _choice(name: str, value: Any, allowed: tuple[Any, ...]) -> None:
    if not any(value is choice or value == choice for choice in allowed):
        raise ValueError(f"{name} must be one of {list(allowed)}, got {value!r}")


def positive(name: str, value: Any) -> int:
    """Converts a positive integer of any type, such as NumPy's, to an int.

    Raises:
        TypeError: if it is not an integer.
        ValueError: if it is less than 1.
    """
    return _counts(name, (value,))[0]


def _counts(name: str, values: Any) -> tuple[int, ...]:
    """Converts positive integers of any type, such as NumPy's, to ints."""
    try:
        integers = tuple(operator.index(value) for value in values)
        exact = integers and not any(isinstance(value, bool) for value in values)
    except TypeError:
        exact = False
    if not exact or isinstance(values, bytes):
        raise TypeError(f"{name} must hold positive integers, got {values!r}")
    if min(integers) < 1:
        raise ValueError(f"{name} must hold positive integers, got {values!r}")
    return integers


def _convs(name: str, convs: Iterable[Sequence[int]]) -> tuple[Conv, ...]:
    try:
        result = tuple(Conv(*_counts(name, conv)) for conv in convs)
    except TypeError as error:
        raise TypeError(
            f"{name} must hold Conv(kernel, filters, stride=1), got {convs!r}"
        ) from error
    if not result or any(conv.kernel % 2 == 0 for conv in result):
        raise ValueError(f"{name} must hold convolutions with odd kernels, got {convs!r}")
    if name == "branch" and any(conv.stride > 1 for conv in result):
        raise ValueError(
            f"convolutions of a branch must have stride 1 (see stride_on), got {convs!r}"
        )
    return result


FIELDS = tuple(field.name for field in fields(Spec))
FREE = ("zero_gamma", "stochastic_depth", "output_stride")  # weights do not depend on them
RETIRED = (
    "image_size",
    "classes",
)  # fields of files of version 0.1, ignored: they describe the data


def differences(one: Spec, other: Spec) -> tuple[str, ...]:
    """Returns the fields in which two specs differ, as far as their weights differ, too."""
    return tuple(
        name for name in FIELDS if name not in FREE and _meaning(one, name) != _meaning(other, name)
    )


def _meaning(spec: Spec, name: str) -> Any:
    """Returns what a field means for the weights: equal for values that make equal networks."""
    if name == "stride_on":
        return spec.strided
    if name == "zero_channels" and spec.shortcut != "A":
        return None
    # If every block widens, options B and C both project in every block.
    widens = set(spec.repeats) == {1} and spec.branch[-1].filters > 1
    if name == "shortcut" and spec.shortcut == "C" and widens:
        return "B"
    return getattr(spec, name)
