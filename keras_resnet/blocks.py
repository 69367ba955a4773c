"""Stem, blocks and shortcuts: functions of tensors. Every layer is named for its place.

Tensors are [batch, height, width, channels], whatever `keras.config.image_data_format()` says.
"""

from functools import partial

from keras import KerasTensor as Tensor, layers

from keras_resnet.layers import FusedBatchNormalization, PadChannels
from keras_resnet.specs import (
    STEM_POOL,
    Conv,
    Place,
    Spec,
    norm_of,
    pad_of,
    relu_of,
    stem_conv,
)

__all__ = ["DATA_FORMAT", "block", "branch", "conv", "norm", "shortcut", "stem"]

DATA_FORMAT = "channels_last"

# He et al., arXiv:1502.01852, eq. 14. A config, because layers that share an initializer *instance*
# share its seed: kernels of equal shapes would start equal.
HE_NORMAL = {
    "class_name": "VarianceScaling",
    "config": {"scale": 2.0, "mode": "fan_out", "distribution": "untruncated_normal"},
}
Conv2D = partial(layers.Conv2D, kernel_initializer=HE_NORMAL, data_format=DATA_FORMAT)
ZeroPadding2D = partial(layers.ZeroPadding2D, data_format=DATA_FORMAT)
MaxPooling2D = partial(layers.MaxPooling2D, data_format=DATA_FORMAT)
AveragePooling2D = partial(layers.AveragePooling2D, data_format=DATA_FORMAT)


def conv(
    x: Tensor, row: Conv, name: str, *, dilation: int = 1, same: bool = False, bias: bool = False
) -> Tensor:
    """Convolves with symmetric padding, as in Caffe and Torch, or with TensorFlow's `same`."""
    kernel, filters, stride = row
    padded = stride > 1 and not same
    if padded and kernel > 1:
        x = ZeroPadding2D(kernel // 2, name=pad_of(name))(x)
    padding = "valid" if padded else "same"
    return Conv2D(
        filters, kernel, stride, padding, dilation_rate=dilation, use_bias=bias, name=name
    )(x)


def norm(x: Tensor, name: str, *, relu: bool = True, zero_gamma: bool = False) -> Tensor:
    """Batch normalization, then ReLU; epsilon and momentum are those of the authors."""
    gamma = "zeros" if zero_gamma else "ones"
    x = FusedBatchNormalization(
        axis=-1, momentum=0.9, epsilon=1e-5, gamma_initializer=gamma, name=norm_of(name)
    )(x)
    return layers.ReLU(name=relu_of(name))(x) if relu else x


def stem(x: Tensor, spec: Spec) -> Tensor:
    """The stem: convolutions and, in the networks for ImageNet, max pooling.

    A convolution without a BN after it has a bias.
    """
    same = spec.padding == "same"
    for i, row in enumerate(spec.stem, 1):
        name = stem_conv(i)
        x = conv(x, row, name, same=same, bias=not spec.stem_norm)
        x = norm(x, name) if spec.stem_norm else x
    if spec.stem_pool:
        # After a ReLU, padding with 0 gives the same maximum as padding with -inf. Without a ReLU,
        # keras.applications also pads with 0. Caffe rounds the size up, which equals padding at the
        # bottom and the right only.
        pad = 1 if spec.stem_pool == "symmetric" else ((0, 1), (0, 1))
        x = ZeroPadding2D(pad, name=pad_of(STEM_POOL))(x)
        x = MaxPooling2D(3, 2, name=STEM_POOL)(x)
    return x


def shortcut(x: Tensor, spec: Spec, place: Place, filters: int) -> Tensor:
    """The path around a branch: A pads with zeros, B and C project, D pools and projects."""
    stride = place.stride
    missing = filters - x.shape[-1]
    if spec.shortcut == "A" or (missing == 0 and spec.shortcut != "C"):
        if stride > 1:
            x = MaxPooling2D(1, stride, name=f"{place.shortcut}_subsample")(x)
        before = missing // 2 if spec.zero_channels == "around" else 0
        return (
            PadChannels(before, missing - before, name=pad_of(place.shortcut))(x) if missing else x
        )
    strides = stride > 1 or place.dilation[0] != place.dilation[1]
    if spec.shortcut == "D" and strides:
        # If the stage dilates, the window stays 2x2 without dilation, as in timm.
        x = AveragePooling2D(2, stride, "same", name=f"{place.shortcut}_pool")(x)
        stride = 1
    x = conv(x, Conv(1, filters, stride), place.projection)
    return x if spec.preact else norm(x, place.projection, relu=False)


def branch(x: Tensor, spec: Spec, place: Place) -> Tensor:
    """The branch F(x): in v1 conv-BN-ReLU without the last ReLU, in v2 conv-BN-ReLU-conv."""
    last = len(spec.branch) - 1
    for i, (kernel, multiple, _) in enumerate(spec.branch):
        name = place.conv(i + 1)
        stride = place.stride if i == spec.strided else 1
        dilation = place.dilation[i > spec.strided] if kernel > 1 else 1
        row = Conv(kernel, place.width * multiple, stride)
        x = conv(x, row, name, dilation=dilation, same=spec.padding == "same")
        if i < last:
            x = norm(x, name)
        elif not spec.preact:
            x = norm(x, name, relu=False, zero_gamma=spec.zero_gamma)
    if place.drop:
        x = layers.Dropout(place.drop, noise_shape=(None, 1, 1, 1), name=place.dropout)(x)
    return x


def block(x: Tensor, spec: Spec, place: Place) -> Tensor:
    """Adds branch and shortcut; in a plain network there is only the branch.

    In v2 the stem has already activated the input of the first block. A shortcut that projects
    reads the activated input (arXiv:1603.05027, appendix).
    """
    filters = place.width * spec.branch[-1].filters
    activated = place.first and spec.stem_norm
    y = norm(x, place.preact) if spec.preact and not activated else x
    if spec.shortcut:
        changes = x.shape[-1] != filters or spec.shortcut == "C"
        x = shortcut(y if changes else x, spec, place, filters)
    y = branch(y, spec, place)
    if spec.shortcut:
        y = layers.Add(name=place.add)([x, y])
    return y if spec.preact else layers.ReLU(name=relu_of(place.name))(y)
