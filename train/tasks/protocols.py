"""Protocols of evaluation: what a network sees of each image, and which scores are averaged.

Standard library only. Scores are probabilities, after the softmax. Each protocol averages them, as
the paper does, and not the logits.
"""

from dataclasses import dataclass

ONE_CROP = "one_crop"
TEN_CROP = "ten_crop"
MULTI_SCALE = "multi_scale"
PROTOCOLS = (ONE_CROP, TEN_CROP, MULTI_SCALE)
SCALES = (224, 256, 384, 480, 640)  # He et al., arXiv:1512.03385, section 3.4
CROPS = 10  # four corners and the centre, and the mirror image of each


@dataclass(frozen=True)
class Protocol:
    """What a network sees of an image.

    "one_crop" is the central crop. "ten_crop" are four corners and the centre, and their mirror
    images (Krizhevsky et al., 2012, section 4.1). "multi_scale" is the whole image and its mirror
    image at several scales, by a network in fully convolutional form (arXiv:1512.03385, section
    3.4).

    Attributes:
        name: one of PROTOCOLS.
        scales: pixels of the shorter side of an image, with "multi_scale"; by default SCALES.

    Raises:
        ValueError: for another name, for scales of another protocol, and for scales that are not
            different positive numbers.
    """

    name: str = ONE_CROP
    scales: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.name != MULTI_SCALE:
            if self.scales:
                raise ValueError(f"scales={_shown(self.scales)} needs protocol={MULTI_SCALE}")
            return
        object.__setattr__(self, "scales", self.scales or SCALES)
        if min(self.scales) < 1 or len(set(self.scales)) < len(self.scales):
            raise ValueError(
                "scales must be different numbers of pixels above 0, got " + _shown(self.scales)
            )

    def __str__(self) -> str:
        return f"{self.name} at {_shown(self.scales)} pixels" if self.scales else self.name


def check_name(name: str) -> None:
    """Raises a ValueError unless it is the name of a protocol."""
    if name not in PROTOCOLS:
        raise ValueError(f"protocol must be one of {list(PROTOCOLS)}, got {name!r}")


def _shown(scales: tuple[int, ...]) -> str:
    return ",".join(map(str, scales))
