"""How a network computes: tensors in, tensors out, and every layer named for its place.

Tensors are [batch, height, width, channels] whatever the user's Keras settings say.
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

DATA_FORMAT = "channels_last"

# He et al., arXiv:1502.01852, eq. 14. A config, since layers that share one initializer
# *instance* share its seed: equal shapes would start with equal weights.
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
    """Convolves with the symmetric padding of Caffe and Torch, or TensorFlow's `same`."""
    kernel, filters, stride = row
    padded = stride > 1 and not same
    if padded and kernel > 1:
        x = ZeroPadding2D(kernel // 2, name=pad_of(name))(x)
    padding = "valid" if padded else "same"
    return Conv2D(
        filters, kernel, stride, padding, dilation_rate=dilation, use_bias=bias, name=name
    )(x)


def norm(x: Tensor, name: str, *, relu: bool = True, zero_gamma: bool = False) -> Tensor:
    """Normalizes the batch, then rectifies; epsilon and momentum are the authors'."""
    gamma = "zeros" if zero_gamma else "ones"
    x = FusedBatchNormalization(
        axis=-1, momentum=0.9, epsilon=1e-5, gamma_initializer=gamma, name=norm_of(name)
    )(x)
    return layers.ReLU(name=relu_of(name))(x) if relu else x


def stem(x: Tensor, spec: Spec) -> Tensor:
    """Convolves the image and, in the networks for ImageNet, pools it.

    A convolution that no BN follows has a bias.
    """
    same = spec.padding == "same"
    for i, row in enumerate(spec.stem, 1):
        name = stem_conv(i)
        x = conv(x, row, name, same=same, bias=not spec.stem_norm)
        x = norm(x, name) if spec.stem_norm else x
    if spec.stem_pool:
        # After ReLU a padded 0 never exceeds a pooled value, as padding with -inf would not;
        # where no ReLU stands before, keras.applications pads with 0 too.
        # Rounding the size up, as Caffe does, is padding the far ends only.
        pad = 1 if spec.stem_pool == "symmetric" else ((0, 1), (0, 1))
        x = ZeroPadding2D(pad, name=pad_of(STEM_POOL))(x)
        x = MaxPooling2D(3, 2, name=STEM_POOL)(x)
    return x


def shortcut(x: Tensor, spec: Spec, place: Place, filters: int) -> Tensor:
    """Fits `x` to its branch: A pads zeros, B and C project, D pools, then projects."""
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
        # Where the stage dilates, the window stays 2x2 and its neighbours close, as in timm.
        x = AveragePooling2D(2, stride, "same", name=f"{place.shortcut}_pool")(x)
        stride = 1
    x = conv(x, Conv(1, filters, stride), place.projection)
    return x if spec.preact else norm(x, place.projection, relu=False)


def branch(x: Tensor, spec: Spec, place: Place) -> Tensor:
    """Computes F(x): conv-BN-ReLU without the last ReLU in v1, conv-BN-ReLU-conv in v2."""
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
    """Adds a branch to its input, or only computes the branch in a plain network.

    In v2 the first block finds its input activated by the stem, before the paths part; a
    shortcut that projects starts from the activated input (arXiv:1603.05027, app. 1).
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
