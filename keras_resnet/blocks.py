"""How a network computes: tensors in, tensors out, and every layer named for its place.

Tensors are [batch, height, width, channels] whatever the user's Keras settings say.
"""

from functools import partial

from keras import KerasTensor as Tensor, layers

from keras_resnet.layers import FusedBatchNormalization, PadChannels
from keras_resnet.specs import Place, Spec

DATA_FORMAT = "channels_last"

# He et al., arXiv:1502.01852, eq. 14. A config, since layers that share one initializer
# *instance* share its seed: equal shapes would start with equal weights.
HE_NORMAL = {
    "class_name": "VarianceScaling",
    "config": {"scale": 2.0, "mode": "fan_out", "distribution": "untruncated_normal"},
}
Conv2D = partial(
    layers.Conv2D, use_bias=False, kernel_initializer=HE_NORMAL, data_format=DATA_FORMAT
)
ZeroPadding2D = partial(layers.ZeroPadding2D, data_format=DATA_FORMAT)
MaxPooling2D = partial(layers.MaxPooling2D, data_format=DATA_FORMAT)
AveragePooling2D = partial(layers.AveragePooling2D, data_format=DATA_FORMAT)


def conv(
    x: Tensor, filters: int, kernel: int, name: str, *, stride: int = 1, dilation: int = 1
) -> Tensor:
    """Convolves with the symmetric padding of Caffe and Torch, not TensorFlow's."""
    if stride > 1 and kernel > 1:
        x = ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
    padding = "valid" if stride > 1 else "same"
    return Conv2D(filters, kernel, stride, padding, dilation_rate=dilation, name=name)(x)


def norm(x: Tensor, name: str, *, relu: bool = True, zero_gamma: bool = False) -> Tensor:
    """Normalizes the batch, then rectifies; epsilon and momentum are the authors'."""
    gamma = "zeros" if zero_gamma else "ones"
    x = FusedBatchNormalization(
        axis=-1, momentum=0.9, epsilon=1e-5, gamma_initializer=gamma, name=f"{name}_bn"
    )(x)
    return layers.ReLU(name=f"{name}_relu")(x) if relu else x


def stem(x: Tensor, spec: Spec) -> Tensor:
    """Convolves the image and, in the networks for ImageNet, pools it."""
    for i, (kernel, filters, stride) in enumerate(spec.stem, 1):
        name = f"stem_conv{i}"
        x = norm(conv(x, filters, kernel, name, stride=stride), name)
    if spec.stem_pool:
        # After ReLU a padded 0 never exceeds a pooled value, as padding with -inf would not.
        # Rounding the size up, as Caffe does, is padding the far ends only.
        pad = 1 if spec.stem_pool == "symmetric" else ((0, 1), (0, 1))
        x = ZeroPadding2D(pad, name="stem_pool_pad")(x)
        x = MaxPooling2D(3, 2, name="stem_pool")(x)
    return x


def shortcut(x: Tensor, spec: Spec, place: Place, filters: int) -> Tensor:
    """Fits `x` to its branch: A pads zeros, B and C project, D pools, then projects."""
    name, stride = f"{place.name}_shortcut", place.stride
    if spec.shortcut == "A":
        if stride > 1:
            x = MaxPooling2D(1, stride, name=f"{name}_subsample")(x)
        missing = filters - x.shape[-1]
        before = missing // 2 if spec.zero_channels == "around" else 0
        return PadChannels(before, missing - before, name=f"{name}_pad")(x)
    strides = stride > 1 or place.dilation[0] != place.dilation[1]
    if spec.shortcut == "D" and strides:
        # Where the stage dilates, the window stays 2x2 and its neighbours close, as in timm.
        x = AveragePooling2D(2, stride, "same", name=f"{name}_pool")(x)
        stride = 1
    x = conv(x, filters, 1, f"{name}_conv", stride=stride)
    return x if spec.preact else norm(x, f"{name}_conv", relu=False)


def branch(x: Tensor, spec: Spec, place: Place) -> Tensor:
    """Computes F(x): conv-BN-ReLU without the last ReLU in v1, conv-BN-ReLU-conv in v2."""
    last = len(spec.branch) - 1
    for i, (kernel, multiple, _) in enumerate(spec.branch):
        name = f"{place.name}_conv{i + 1}"
        stride = place.stride if i == spec.strided else 1
        dilation = place.dilation[i > spec.strided] if kernel > 1 else 1
        x = conv(x, place.width * multiple, kernel, name, stride=stride, dilation=dilation)
        if i < last:
            x = norm(x, name)
        elif not spec.preact:
            x = norm(x, name, relu=False, zero_gamma=spec.zero_gamma)
    if place.drop:
        x = layers.Dropout(place.drop, noise_shape=(None, 1, 1, 1), name=f"{place.name}_drop")(x)
    return x


def block(x: Tensor, spec: Spec, place: Place) -> Tensor:
    """Adds a branch to its input, or only computes the branch in a plain network.

    In v2 the first block finds its input activated by the stem, before the paths part; a
    shortcut that changes shapes starts from the activated input (arXiv:1603.05027, app. 1).
    """
    filters = place.width * spec.branch[-1].filters
    shapes_differ = place.stride > 1 or x.shape[-1] != filters
    y = norm(x, f"{place.name}_preact") if spec.preact and not place.first else x
    if spec.shortcut and (shapes_differ or spec.shortcut == "C"):
        x = shortcut(y, spec, place, filters)
    y = branch(y, spec, place)
    if spec.shortcut:
        y = layers.Add(name=f"{place.name}_add")([x, y])
    return y if spec.preact else layers.ReLU(name=f"{place.name}_relu")(y)
