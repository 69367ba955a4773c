"""The family: the networks of the papers and their variants, by name. Standard library only."""

import difflib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from keras_resnet.specs import (
    BASIC,
    BOTTLENECK,
    DEEP_STEM,
    FIELDS,
    WIDE_BOTTLENECK,
    Conv,
    Shortcut,
    Spec,
)

__all__ = [
    "ERRORS",
    "FAMILY",
    "PUBLISHED",
    "Published",
    "Reported",
    "changes",
    "name_of",
    "nearest",
    "spec",
]


def _cifar(branch: tuple[Conv, ...], n: int, shortcut: Shortcut) -> Spec:
    return Spec(branch, (n, n, n), stem=(Conv(3, 16),), stem_pool=None, shortcut=shortcut)


class Published(NamedTuple):
    """The images and classes of the data set that a network was published for."""

    image_size: int  # pixels per side
    classes: int


IMAGENET = {
    18: Spec(BASIC, (2, 2, 2, 2)),
    34: Spec(BASIC, (3, 4, 6, 3)),
    50: Spec(BOTTLENECK, (3, 4, 6, 3)),
    101: Spec(BOTTLENECK, (3, 4, 23, 3)),
    152: Spec(BOTTLENECK, (3, 8, 36, 3)),
    200: Spec(BOTTLENECK, (3, 24, 36, 3)),
}
IMAGENET_VARIANTS: dict[str, dict[str, Any]] = {
    "resnet{}": {},
    "resnet{}_v1_5": {"stride_on": "3x3"},
    "resnet{}_v2": {"stride_on": "3x3", "preact": True},
    "resnet{}_d": {"stride_on": "3x3", "stem": DEEP_STEM, "shortcut": "D"},
    "plain{}": {"shortcut": None},
}
CIFAR = {6 * n + 2: _cifar(BASIC, n, "A") for n in (1, 3, 5, 7, 9, 18, 200)}
CIFAR |= {9 * n + 2: _cifar(BOTTLENECK, n, "B") for n in (18, 111)}
CIFAR_VARIANTS: dict[str, dict[str, Any]] = {
    "resnet{}": {},
    "resnet{}_v2": {"preact": True},
    "plain{}": {"shortcut": None},
}
WIDE = {
    f"wide_resnet{depth}_2": replace(IMAGENET[depth], branch=WIDE_BOTTLENECK, stride_on="3x3")
    for depth in (50, 101)
}


def _named(roots: Mapping[int, Spec], variants: Mapping[str, Mapping[str, Any]]) -> dict[str, Spec]:
    return {
        name.format(depth): replace(root, **changes)
        for name, changes in variants.items()
        for depth, root in roots.items()
    }


_FOR_IMAGENET = _named(IMAGENET, IMAGENET_VARIANTS)
_FOR_CIFAR = _named(CIFAR, CIFAR_VARIANTS)
FAMILY: Mapping[str, Spec] = _FOR_IMAGENET | _FOR_CIFAR | WIDE
PUBLISHED: Mapping[str, Published] = {
    **dict.fromkeys(_FOR_IMAGENET | WIDE, Published(image_size=224, classes=1000)),
    **dict.fromkeys(_FOR_CIFAR, Published(image_size=32, classes=10)),
}


class Reported(NamedTuple):
    """The error that the authors of a network report, or the first who have trained it."""

    top1: float  # percent, on ImageNet's validation images or CIFAR-10's test images
    place: str
    crops: int = 1  # per image
    shortcut: str = ""  # its option, where that is not the network's


_TABLES = "arXiv:1512.03385, Tables 2 and 3"
_V2 = "arXiv:1603.05027, Table 2"
ERRORS: Mapping[str, Reported] = {
    "plain18": Reported(27.94, _TABLES, 10),
    "plain34": Reported(28.54, _TABLES, 10),
    "resnet18": Reported(27.88, _TABLES, 10, "A"),
    "resnet34": Reported(24.52, _TABLES, 10),
    "resnet50": Reported(22.85, _TABLES, 10),
    "resnet101": Reported(21.75, _TABLES, 10),
    "resnet152": Reported(21.43, _TABLES, 10),
    "resnet50_v1_5": Reported(24.01, "README of fb.resnet.torch"),
    **{
        f"resnet{depth}": Reported(error, "arXiv:1512.03385, Table 6")
        for depth, error in {
            20: 8.75,
            32: 7.51,
            44: 7.17,
            56: 6.97,
            110: 6.43,
            1202: 7.93,
        }.items()
    },
    "resnet164": Reported(5.93, _V2),
    "resnet110_v2": Reported(6.37, _V2),
    "resnet164_v2": Reported(5.46, _V2),
    "resnet1001_v2": Reported(4.92, "arXiv:1603.05027, Table 4"),
}


def spec(network: str, **changes: Any) -> Spec:
    """Returns the spec of a network of the family, with changed fields.

    Raises:
        ValueError: for a name that is not in `FAMILY`, or an invalid value of a field.
        TypeError: for a name that is not a string, or an unknown field.
    """
    if not isinstance(network, str):
        raise TypeError(f"network must be a name, such as 'resnet50', got {network!r}")
    if network not in FAMILY:
        near = difflib.get_close_matches(network.lower(), FAMILY, 3) or list(FAMILY)
        raise ValueError(f"unknown network {network!r}; did you mean {' or '.join(near)}?")
    unknown = sorted(set(changes) - set(FIELDS))
    if unknown:
        raise TypeError(f"unknown argument {', '.join(unknown)}; the fields are {list(FIELDS)}")
    return replace(FAMILY[network], **changes)


def name_of(wanted: Spec, default: str) -> str:
    """Returns the name of a spec in the family; the default if it is not in the family."""
    name, fields = nearest(wanted)
    return default if fields else name


def nearest(wanted: Spec) -> tuple[str, dict[str, Any]]:
    """Returns the network of the family that differs in the fewest fields, and these fields."""
    name = min(FAMILY, key=lambda name: len(changes(wanted, name)))
    return name, changes(wanted, name)


def changes(wanted: Spec, network: str) -> dict[str, Any]:
    """Returns the fields, with their values, in which a spec differs from a network by name."""
    known = FAMILY[network]
    return {
        field: getattr(wanted, field)
        for field in FIELDS
        if getattr(known, field) != getattr(wanted, field)
    }
