"""A builder for every network of the family, with the arguments of `keras.applications`."""

import inspect
from collections.abc import Callable
from inspect import Parameter, Signature
from typing import Any

from keras_resnet.family import FAMILY
from keras_resnet.models.doors import resnet
from keras_resnet.network import ResidualNetwork
from keras_resnet.specs import FIELDS

__all__ = [
    "PlainNet8",
    "PlainNet18",
    "PlainNet20",
    "PlainNet32",
    "PlainNet34",
    "PlainNet44",
    "PlainNet50",
    "PlainNet56",
    "PlainNet101",
    "PlainNet110",
    "PlainNet152",
    "PlainNet164",
    "PlainNet200",
    "PlainNet1001",
    "PlainNet1202",
    "ResNet8",
    "ResNet8V2",
    "ResNet18",
    "ResNet18D",
    "ResNet18V1_5",
    "ResNet18V2",
    "ResNet20",
    "ResNet20V2",
    "ResNet32",
    "ResNet32V2",
    "ResNet34",
    "ResNet34D",
    "ResNet34V1_5",
    "ResNet34V2",
    "ResNet44",
    "ResNet44V2",
    "ResNet50",
    "ResNet50D",
    "ResNet50V1_5",
    "ResNet50V2",
    "ResNet56",
    "ResNet56V2",
    "ResNet101",
    "ResNet101D",
    "ResNet101V1_5",
    "ResNet101V2",
    "ResNet110",
    "ResNet110V2",
    "ResNet152",
    "ResNet152D",
    "ResNet152V1_5",
    "ResNet152V2",
    "ResNet164",
    "ResNet164V2",
    "ResNet200",
    "ResNet200D",
    "ResNet200V1_5",
    "ResNet200V2",
    "ResNet1001",
    "ResNet1001V2",
    "ResNet1202",
    "ResNet1202V2",
    "WideResNet50_2",
    "WideResNet101_2",
]

WORDS = (
    ("wide_", "Wide"),
    ("resnet", "ResNet"),
    ("plain", "PlainNet"),
    ("_v", "V"),
    ("_d", "D"),
)
# In the order of `keras.applications.ResNet50`; all other arguments are given by name.
POSITIONAL = (
    "include_top",
    "weights",
    "input_tensor",
    "input_shape",
    "pooling",
    "classes",
    "classifier_activation",
    "name",
)
Builder = Callable[..., ResidualNetwork]


def builder(network: str) -> Builder:
    """Returns the function that builds `network`; its `help` lists all arguments."""

    def build(*arguments: Any, **options: Any) -> ResidualNetwork:
        given = ARGUMENTS.bind(*arguments, **options).arguments
        fields = given.pop("fields", {})
        return resnet(network, **given, **fields)

    build.__name__ = _public_name(network)
    build.__qualname__ = build.__name__
    build.__doc__ = f'Builds `resnet("{network}", ...)`.\n\n{DOCUMENTED}'
    build.__signature__ = _with_fields(network)  # type: ignore[attr-defined]
    return build


def _arguments() -> Signature:
    """Returns the arguments of `resnet` after the network; those of `keras.applications` first."""
    known = inspect.signature(resnet).parameters
    positional = [known[name].replace(kind=Parameter.POSITIONAL_OR_KEYWORD) for name in POSITIONAL]
    named = [known[name] for name in known if name not in (*POSITIONAL, "network")]
    return Signature([*positional, *named], return_annotation=ResidualNetwork)


def _documented() -> str:
    """Returns the documentation of `resnet` from its arguments on, without the network."""
    _, args, rest = (inspect.getdoc(resnet) or "").partition("Args:\n")
    return args + rest.replace("    network: a name in `keras_resnet.FAMILY`.\n", "")


ARGUMENTS = _arguments()
DOCUMENTED = _documented()


def _with_fields(network: str) -> Signature:
    """Returns `ARGUMENTS` with each field of the spec in place of `**fields`."""
    spec = FAMILY[network]
    named = [x for x in ARGUMENTS.parameters.values() if x.kind is not Parameter.VAR_KEYWORD]
    fields = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=getattr(spec, name)) for name in FIELDS
    ]
    return ARGUMENTS.replace(parameters=[*named, *fields])


def _public_name(network: str) -> str:
    for word, public in WORDS:
        network = network.replace(word, public)
    return network


ResNet18 = builder("resnet18")
ResNet34 = builder("resnet34")
ResNet50 = builder("resnet50")
ResNet101 = builder("resnet101")
ResNet152 = builder("resnet152")
ResNet200 = builder("resnet200")
ResNet18V1_5 = builder("resnet18_v1_5")
ResNet34V1_5 = builder("resnet34_v1_5")
ResNet50V1_5 = builder("resnet50_v1_5")
ResNet101V1_5 = builder("resnet101_v1_5")
ResNet152V1_5 = builder("resnet152_v1_5")
ResNet200V1_5 = builder("resnet200_v1_5")
ResNet18V2 = builder("resnet18_v2")
ResNet34V2 = builder("resnet34_v2")
ResNet50V2 = builder("resnet50_v2")
ResNet101V2 = builder("resnet101_v2")
ResNet152V2 = builder("resnet152_v2")
ResNet200V2 = builder("resnet200_v2")
ResNet18D = builder("resnet18_d")
ResNet34D = builder("resnet34_d")
ResNet50D = builder("resnet50_d")
ResNet101D = builder("resnet101_d")
ResNet152D = builder("resnet152_d")
ResNet200D = builder("resnet200_d")
PlainNet18 = builder("plain18")
PlainNet34 = builder("plain34")
PlainNet50 = builder("plain50")
PlainNet101 = builder("plain101")
PlainNet152 = builder("plain152")
PlainNet200 = builder("plain200")
ResNet8 = builder("resnet8")
ResNet20 = builder("resnet20")
ResNet32 = builder("resnet32")
ResNet44 = builder("resnet44")
ResNet56 = builder("resnet56")
ResNet110 = builder("resnet110")
ResNet1202 = builder("resnet1202")
ResNet164 = builder("resnet164")
ResNet1001 = builder("resnet1001")
ResNet8V2 = builder("resnet8_v2")
ResNet20V2 = builder("resnet20_v2")
ResNet32V2 = builder("resnet32_v2")
ResNet44V2 = builder("resnet44_v2")
ResNet56V2 = builder("resnet56_v2")
ResNet110V2 = builder("resnet110_v2")
ResNet1202V2 = builder("resnet1202_v2")
ResNet164V2 = builder("resnet164_v2")
ResNet1001V2 = builder("resnet1001_v2")
PlainNet8 = builder("plain8")
PlainNet20 = builder("plain20")
PlainNet32 = builder("plain32")
PlainNet44 = builder("plain44")
PlainNet56 = builder("plain56")
PlainNet110 = builder("plain110")
PlainNet1202 = builder("plain1202")
PlainNet164 = builder("plain164")
PlainNet1001 = builder("plain1001")
WideResNet50_2 = builder("wide_resnet50_2")
WideResNet101_2 = builder("wide_resnet101_2")
