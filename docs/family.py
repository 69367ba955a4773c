"""The page about the family: every network with its size, cost, published error and weights.

`python -m docs.tables` writes it. Parameters and multiply-adds are counted from the specs, because
building all networks takes minutes.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from keras_resnet import counts, family
from keras_resnet.weights import list_weights
from train.lab import tables

HEAD = """# The family

Every network has a name for commands, `--network=resnet50_v1_5`, and a function,
`keras_resnet.ResNet50V1_5()`, which is short for `keras_resnet.resnet("resnet50_v1_5")`. A network
is a [`Spec`](reference/keras_resnet.md): stem, branch, blocks per stage, shortcut, place of the
stride, order of activation. Each field is an argument:

```python
model = keras_resnet.ResNet50(stride_on="3x3")  # the same as ResNet50V1_5()
model = keras_resnet.ResNet34(shortcut="C", output_stride=16, endpoints=True)
```

| column | |
|---|---|
| layers | convolutions on the path, and the classifier; a deep stem counts as one |
| parameters | those that learn |
| multiply-adds | of one image: 224x224 for ImageNet, 32x32 for CIFAR; the paper's FLOPs |
| published error | top-1 on ImageNet's validation or CIFAR-10's test images, in percent |
| weights | that load: names of `weights=`, and projects whose files [load exactly](weights.md) |

Errors are those that the authors of a network report, or the first who trained it.
`python -m docs.tables` writes this page from `keras_resnet.family`; `keras_resnet.cost(model)`
counts the same for any network, and [`keras-resnet list`](predict.md#what-there-is) prints a table.
"""


class Group(NamedTuple):
    """Networks of one variant, for one kind of images."""

    title: str
    about: str
    template: str  # of their names


GROUPS = (
    Group(
        "ImageNet: the paper's networks, v1",
        "arXiv:1512.03385, Table 1, and arXiv:1603.05027 for 200 layers. In a block that strides,"
        " the first convolution does.",
        "resnet{}",
    ),
    Group(
        "ImageNet: v1.5",
        "The 3x3 convolution strides: fb.resnet.torch; arXiv:1706.02677. Networks of basic blocks"
        " are those of v1.",
        "resnet{}_v1_5",
    ),
    Group("ImageNet: v2", "Pre-activation: arXiv:1603.05027.", "resnet{}_v2"),
    Group("ImageNet: D", "A deep stem, and shortcuts that pool: arXiv:1812.01187.", "resnet{}_d"),
    Group(
        "ImageNet: wide", "Twice the width inside of a branch: arXiv:1605.07146.", "wide_resnet{}_2"
    ),
    Group("ImageNet: plain", "No shortcuts: arXiv:1512.03385, Table 1.", "plain{}"),
    Group(
        "CIFAR: v1",
        "arXiv:1512.03385, section 4.2: 6n+2 layers with basic blocks; arXiv:1603.05027: 9n+2"
        " layers (164, 1001) with bottlenecks.",
        "resnet{}",
    ),
    Group("CIFAR: v2", "Pre-activation: arXiv:1603.05027.", "resnet{}_v2"),
    Group("CIFAR: plain", "No shortcuts: arXiv:1512.03385, section 4.2.", "plain{}"),
)
TITLES = ("network", "layers", "parameters", "multiply-adds", "published error", "weights")
DATASETS = ("imagenet2012", "cifar10")  # whose errors are shown
TORCHVISION = (  # v1 and v1.5 differ only where blocks are bottlenecks
    *(f"resnet{n}_v1_5" for n in (18, 34, 50, 101, 152)),
    "resnet18",
    "resnet34",
    *family.WIDE,
)
# Networks of which a project publishes weights, by the project. `keras_resnet.weights.SOURCES`.
PROJECTS = {
    "torchvision": TORCHVISION,
    "timm": (*TORCHVISION, *(f"resnet{n}_d" for n in (18, 34, 50, 101, 152, 200))),
    "caffe": ("resnet50", "resnet101", "resnet152"),
    "detectron2": ("resnet50", "resnet101"),
    "akamaster": tuple(f"resnet{n}" for n in (20, 32, 44, 56, 110, 1202)),
    "a_martyn": ("resnet20", "resnet56", "plain20", "plain56"),
    "robinc94": ("resnet20",),
    "mlcommons_tiny": ("resnet8",),
}


def page() -> str:
    """Returns the page in Markdown."""
    lines = [HEAD]
    for group in GROUPS:
        rows = tables.rows(TITLES, map(_row, _names(group)))
        lines += [f"## {group.title}", group.about, "", *rows, ""]
    return "\n".join(lines)


def _names(group: Group) -> list[str]:
    """Returns the networks of a group, shallow ones first."""
    pattern = re.compile(group.template.replace("{}", r"(\d+)"))
    imagenet = group.title.startswith("ImageNet")
    found = [
        (int(match[1]), name)
        for name in family.FAMILY
        if (match := pattern.fullmatch(name))
        and (family.PUBLISHED[name].classes == 1000) == imagenet
    ]
    return [name for _, name in sorted(found)]


def _row(name: str) -> tuple[str, ...]:
    spec = family.FAMILY[name]
    size, classes = family.PUBLISHED[name]
    parameters, multiply_adds = counts.total(spec, (size, size, 3), classes)
    return (
        f"`{name}`",
        str(1 + sum(spec.repeats) * len(spec.branch) + 1),
        _short(parameters),
        _short(multiply_adds),
        error(name),
        ", ".join(_weights(name)),
    )


def _short(number: int) -> str:
    """Returns a number with four digits, such as 25.56 M."""
    unit, name = (1e9, "G") if number >= 1e9 else (1e6, "M") if number >= 1e6 else (1e3, "k")
    digits = 3 - len(str(int(number / unit))) + 1
    return f"{number / unit:.{digits}f} {name}"


def error(name: str) -> str:
    """Returns the published error of a network, and how it was measured; "" if there is none."""
    found = family.ERRORS.get(name)
    if found is None:
        return ""
    notes = ["ten crops"] if found.crops == 10 else []
    notes += [f"option {found.shortcut}"] if found.shortcut else []
    return f"{found.top1:.2f}" + (f" ({', '.join(notes)})" if notes else "")


def _weights(name: str) -> Iterator[str]:
    for offer in list_weights(name):
        yield f'`"{offer.weights}"`'
    yield from (project for project, networks in PROJECTS.items() if name in networks)
