"""A named builder for every network of the family, with the arguments of `keras.applications`."""

import os
from typing import Any, Protocol

import keras
from keras import KerasTensor as Tensor

from keras_resnet.models.arguments import AUTO, Shape
from keras_resnet.models.doors import resnet
from keras_resnet.network import Activation, Pooling

WORDS = (
    ("wide_", "Wide"),
    ("resnet", "ResNet"),
    ("plain", "PlainNet"),
    ("_v", "V"),
    ("_d", "D"),
)


class Builder(Protocol):
    """The arguments of `keras.applications.ResNet50`, then any field of `keras_resnet.Spec`."""

    __name__: str

    def __call__(
        self,
        include_top: bool = True,
        weights: str | os.PathLike[str] | None = None,
        input_tensor: Tensor | None = None,
        input_shape: Shape | None = None,
        pooling: Pooling = None,
        classes: int | None = None,
        classifier_activation: Activation = AUTO,
        name: str | None = None,
        **fields: Any,
    ) -> keras.Model: ...


def builder(network: str) -> Builder:
    """Returns the function that builds `network`; `help` of it tells what `resnet` takes."""

    def build(
        include_top: bool = True,
        weights: str | os.PathLike[str] | None = None,
        input_tensor: Tensor | None = None,
        input_shape: Shape | None = None,
        pooling: Pooling = None,
        classes: int | None = None,
        classifier_activation: Activation = AUTO,
        name: str | None = None,
        **fields: Any,
    ) -> keras.Model:
        return resnet(
            network,
            include_top=include_top,
            weights=weights,
            input_tensor=input_tensor,
            input_shape=input_shape,
            pooling=pooling,
            classes=classes,
            classifier_activation=classifier_activation,
            name=name,
            **fields,
        )

    build.__name__ = build.__qualname__ = _public_name(network)
    build.__doc__ = f'Builds `resnet("{network}")`.\n\n{resnet.__doc__}'
    return build


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
