"""What sets one source of weights apart: its names, its layouts, and what names cannot tell."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from keras_resnet import labels, preprocessing
from keras_resnet.preprocessing import Preprocessing
from keras_resnet.specs import BASIC, is_norm, pattern
from keras_resnet.weights.formats.containers import Container
from keras_resnet.weights.infer.proof import Proof, strided

Renames = Mapping[str, str]  # foreign name: ours; "" for a tensor that is not a weight
TORCH_CIFAR = preprocessing.mode("torch", image_size=32, crop=1.0)


class Variables(NamedTuple):
    """The source's names of variables: of batch normalizations, and of other layers."""

    norm: Mapping[str, str]
    other: Mapping[str, str]

    def of(self, layer: str) -> Mapping[str, str]:
        """Returns the names of the variables of one of our layers: theirs to ours."""
        return self.norm if is_norm(layer) else self.other


TORCH = Variables(
    {
        "weight": "gamma",
        "bias": "beta",
        "running_mean": "mean",
        "running_var": "variance",
        "num_batches_tracked": "",
    },
    {"weight": "kernel", "bias": "bias"},
)
KERAS = Variables(
    {"gamma": "gamma", "beta": "beta", "moving_mean": "mean", "moving_variance": "variance"},
    {"kernel": "kernel", "bias": "bias", "range": "range"},
)
CAFFE = Variables(
    {name: name for name in ("gamma", "beta", "mean", "variance")},
    {"kernel": "kernel", "bias": "bias"},
)


@dataclass(frozen=True)
class ByPattern:
    """Renames layer by layer, by regular expressions.

    A pattern matches the whole foreign name of a layer. Its groups `stage`, `block`, `conv` and
    `later` (a block, where blocks after the first are numbered separately) are numbers, or letters
    from a. The offsets are added to them, because our numbers begin at 1, and they are inserted
    into our name.
    """

    patterns: Mapping[str, str]
    variables: Variables
    separator: str
    stage: int = 0
    block: int = 0
    later: int = 0

    def __call__(self, names: Collection[str]) -> Renames:
        found = {name: self._renamed(name) for name in names}
        return {name: ours for name, ours in found.items() if ours is not None}

    def _renamed(self, name: str) -> str | None:
        layer, _, variable = name.rpartition(self.separator)
        for expression, ours in self.patterns.items():
            if match := re.fullmatch(expression, layer):
                groups = {key: _number(text) for key, text in match.groupdict().items()}
                for group in groups:
                    groups[group] += getattr(self, group, 0)
                return weight(ours.format(**groups), variable, self.variables)
        return None


@dataclass(frozen=True)
class NameMap:
    """One mapping between the names of a source and ours, to read and to write them.

    Args:
        layers: templates of the source's names of layers to templates of ours; the fields `stage`,
            `block` and `conv` are numbers.
        variables: the source's names of the weights of a layer.
        separator: between layer and variable.
        block: what is added to the source's number of a block, since ours begin at 1.
    """

    layers: Mapping[str, str]
    variables: Variables
    separator: str
    block: int = 0

    def __call__(self, names: Collection[str]) -> Renames:
        """Returns our names of the tensors that the source knows."""
        patterns = {pattern(theirs).pattern: ours for theirs, ours in self.layers.items()}
        return ByPattern(patterns, self.variables, self.separator, block=self.block)(names)

    def layer(self, ours: str) -> str:
        """Returns the source's name of one of our layers.

        Raises:
            ValueError: if the source has no such layer.
        """
        for theirs, template in self.layers.items():
            if match := pattern(template).fullmatch(ours):
                numbers = {field: int(text) for field, text in match.groupdict().items()}
                if "block" in numbers:
                    numbers["block"] -= self.block
                return theirs.format(**numbers)
        raise ValueError(f"the layer {ours} has no name in this source")

    def weight(self, layer: str, variable: str) -> str:
        """Returns the source's name of a variable of one of our layers."""
        theirs = {ours: name for name, ours in self.variables.of(layer).items()}
        return f"{self.layer(layer)}{self.separator}{theirs[variable]}"


def _number(text: str) -> int:
    return int(text) if text.isdigit() else ord(text) - ord("a") + 1


def weight(layer: str, variable: str, variables: Variables) -> str | None:
    """Returns our name of a variable; "" if it is not a weight, None if it is unknown."""
    part = variables.of(layer).get(variable)
    return f"{layer}/{part}" if part else part


def by_layer(
    names: Collection[str],
    expression: re.Pattern[str],
    layer: Callable[[re.Match[str]], str | None],
) -> Renames:
    """Renames variables of Keras with a function from a match of the name to our layer."""
    renames = {}
    for name in names:
        match = expression.fullmatch(name)
        ours = match and layer(match)
        if match and ours and (renamed := weight(ours, match["variable"], KERAS)):
            renames[name] = renamed
    return renames


class Traits(NamedTuple):
    """Facts about a file other than its shapes: stated in the file, or conventions of its source.

    Conventions hold for networks that the source publishes, not for other networks with the same
    names.
    """

    stated: Mapping[str, Any] = {}  # fields of the spec that the file or its names state
    convention: Mapping[str, Any] = {}  # fields of the spec in networks of the source
    preprocessing: Preprocessing | None = None
    labels: tuple[str, ...] = ()  # in the order of the logits; () if unknown
    known: bool = False  # whether all of this is certain for this file, not only a convention


@dataclass(frozen=True)
class Source:
    """A project that publishes weights."""

    name: str
    rename: Callable[[Collection[str]], Renames]
    traits: Callable[[Container, Proof], Traits]
    layout: Literal["HWIO", "OIHW"] = "OIHW"
    epsilon: float = 1e-5  # of its batch normalizations
    implied: str = ""  # a pattern of our names that its files omit, because they are identities
    options: Collection[str | None] = ("A", "B", "C", None)  # shortcuts of its networks
    frozen_norms: bool = False  # statistics are folded into normalizations, which stay frozen


# Torch and Caffe pad symmetrically, TensorFlow more at the bottom and right. All published networks
# stride in the first block of a stage, except keras.applications v2.
TORCH_PADDING = {"padding": "symmetric", "stride_block": "first"}
TENSORFLOW_PADDING = {"padding": "same", "stride_block": "first"}


def cifar10(
    padding: Mapping[str, Any],
    pixels: Preprocessing,
    published: Callable[[Proof], bool] = lambda _: True,
    **fields: Any,
) -> Callable[[Container, Proof], Traits]:
    """Returns the traits of networks for CIFAR-10: a 3x3 stem, three stages of basic blocks.

    Args:
        padding: fields for all networks with the names of this source.
        pixels: the preprocessing of the published networks.
        published: whether a network is one that the source published for CIFAR-10.
        **fields: of the spec, in its networks.
    """

    def traits(_: Container, proof: Proof) -> Traits:
        kernels = [row.kernel for row in proof.stem]
        if kernels != [3] or len(proof.repeats) != 3 or proof.branch != BASIC:
            return Traits(convention=padding)
        usual = {**padding, "stem": strided(proof.stem, 1), "stem_pool": None, **fields}
        if proof.channels != 3 or proof.classes != 10 or not published(proof):
            return Traits(convention=usual)
        return Traits(convention=usual, preprocessing=pixels, labels=labels.CIFAR10)

    return traits


def imagenet(
    padding: Mapping[str, Any],
    pixels: Preprocessing,
    kernels: Collection[tuple[int, ...]] = ((7,),),
    **fields: Any,
) -> Callable[[Container, Proof], Traits]:
    """Returns the traits of networks for ImageNet: a stem with stride 2, and max pooling.

    Args:
        padding: fields for all networks with the names of this source.
        pixels: the preprocessing of the published networks.
        kernels: kernel sizes of its stems.
        **fields: of the spec, in its networks.
    """

    def traits(_: Container, proof: Proof) -> Traits:
        if tuple(row.kernel for row in proof.stem) not in kernels:
            return Traits(convention=padding)
        stem = {"stem": strided(proof.stem, 2), "stem_pool": "symmetric"}
        usual = {**padding, **stem, **fields}
        return Traits(convention=usual, preprocessing=pixels if proof.channels == 3 else None)

    return traits
