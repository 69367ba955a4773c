"""What a network costs, counted from its spec: no network is built. Standard library only.

`keras_resnet.cost` counts the same of any model, layer by layer, but has to build it first, which
takes seconds for deep networks.
"""

from collections.abc import Iterator
from typing import NamedTuple

from keras_resnet.specs import HEAD, STEM, Place, Spec

__all__ = ["Part", "parts", "total"]


class Part(NamedTuple):
    """The cost of one part of a network, for one image."""

    name: str  # stem, stage1, ..., head
    blocks: int
    output: tuple[int, int, int]  # height, width and filters; of the head 1, 1 and classes
    parameters: int  # that learn, without the moving statistics of BN
    multiply_adds: int  # of convolutions and the classifier


class _Kernel(NamedTuple):
    """A convolution, or the classifier as one of a single pixel."""

    size: int
    inputs: int
    filters: int
    pixels: int  # of the output

    @property
    def weights(self) -> int:
        return self.size**2 * self.inputs * self.filters


Size = tuple[int, int]  # height and width


def parts(spec: Spec, image_shape: tuple[int, int, int], classes: int) -> list[Part]:
    """Counts parameters and multiply-adds of the parts of a network, from stem to head.

    Args:
        spec: the architecture.
        image_shape: height, width and channels of an image.
        classes: outputs of the classifier.
    """
    height, width, channels = image_shape
    found, size = _stem(spec, (height, width), channels)
    result = [found]
    filters = spec.stem[-1].filters
    for part in spec.parts[1:-1]:
        places = [place for place in spec.places() if place.part == part]
        parameters = multiply_adds = 0
        for place in places:
            after = _strided(size, place.stride)
            for kernel in _kernels(spec, place, filters, size, after):
                parameters += kernel.weights
                multiply_adds += kernel.weights * kernel.pixels
            parameters += _norms(spec, place, filters)
            size = after
            filters = place.width * spec.branch[-1].filters
        result.append(Part(part, len(places), (*size, filters), parameters, multiply_adds))
    final = 2 * filters if spec.preact else 0
    head = (filters + 1) * classes + final
    return [*result, Part(HEAD, 0, (1, 1, classes), head, filters * classes)]


def total(spec: Spec, image_shape: tuple[int, int, int], classes: int) -> tuple[int, int]:
    """Returns parameters and multiply-adds of a network; arguments are those of `parts`."""
    found = parts(spec, image_shape, classes)
    return sum(part.parameters for part in found), sum(part.multiply_adds for part in found)


def _stem(spec: Spec, size: Size, channels: int) -> tuple[Part, Size]:
    parameters = multiply_adds = 0
    for conv in spec.stem:
        size = _strided(size, conv.stride)
        kernel = _Kernel(conv.kernel, channels, conv.filters, size[0] * size[1])
        # Scale and offset of the normalization, or a bias.
        parameters += kernel.weights + (2 if spec.stem_norm else 1) * conv.filters
        multiply_adds += kernel.weights * kernel.pixels
        channels = conv.filters
    if spec.stem_pool == "symmetric":
        size = _strided(size, 2)
    elif spec.stem_pool:  # padded at the bottom and the right only
        size = size[0] // 2, size[1] // 2
    return Part(STEM, 0, (*size, channels), parameters, multiply_adds), size


def _strided(size: Size, stride: int) -> Size:
    height, width = size
    return -(-height // stride), -(-width // stride)


def _projects(spec: Spec, place: Place, inputs: int) -> bool:
    changes = inputs != place.width * spec.branch[-1].filters
    return spec.shortcut == "C" or (spec.shortcut in ("B", "D") and changes)


def _kernels(spec: Spec, place: Place, inputs: int, before: Size, after: Size) -> Iterator[_Kernel]:
    """Yields the convolutions of a block: of the branch, and of a shortcut that projects."""
    outputs = place.width * spec.branch[-1].filters
    if _projects(spec, place, inputs):
        yield _Kernel(1, inputs, outputs, after[0] * after[1])
    for number, conv in enumerate(spec.branch):
        height, width = before if number < spec.strided else after
        filters = place.width * conv.filters
        yield _Kernel(conv.kernel, inputs, filters, height * width)
        inputs = filters


def _norms(spec: Spec, place: Place, inputs: int) -> int:
    """Returns the parameters of the normalizations of a block: scale and offset per channel."""
    channels = [place.width * conv.filters for conv in spec.branch]
    if not spec.preact:
        projection = channels[-1] if _projects(spec, place, inputs) else 0
        return 2 * (sum(channels) + projection)
    # The input of the first block is normalized by the stem.
    own = 0 if place.first and spec.stem_norm else inputs
    return 2 * (own + sum(channels[:-1]))
