"""RandAugment and TrivialAugment: operations drawn from a search space, as a function of a seed.

An operation takes whole grey levels of 0..255 as float32 [height, width, channels], and a strength.
Its result is truncated to whole levels of 0..255 again, as PIL does.
"""

import math
from collections.abc import Callable, Mapping

import keras
import tensorflow as tf

Operation = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # (image, strength) -> image
Strength = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # (level of 0..1, sign of -1 or 1) -> []
Draw = tuple[tf.Tensor, tf.Tensor, tf.Tensor]  # which operation, level, sign

LEVELS = 31  # TrivialAugment draws one of this many evenly spaced levels of 0..1
# RandAugment, in timm's words rand-m7-mstd0.5-inc1, where 10 is the highest level.
TURNS = 2
PROBABILITY = 0.5
NOISE = 0.05
# Pixels without a source: RandAugment's code fills them with grey, torchvision with black.
GREY = 128.0
BLACK = 0.0
LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R 601-2, as PIL


def policy(name: str, magnitude: float) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Returns a policy: (image [height, width, channels], seed [2]) -> image.

    The image may be uint8 or float of 0..255. It leaves as float32 of whole grey levels, or
    unchanged if the policy is "none".

    Args:
        name: "none", "randaugment" or "trivial".
        magnitude: mean level of RandAugment, in [0, 1]; the other policies do not use it.
    """
    if name == "none":
        return lambda image, _: image
    if name == "trivial":
        return lambda image, seed: perform(image, draw_trivial(seed), TRIVIAL, BLACK)

    def randaugment(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        for turn in range(TURNS):
            draw = draw_randaugment(_fold(seed, turn), magnitude)
            image = perform(image, draw, RANDAUGMENT, GREY)
        return image

    return randaugment


def draw_trivial(seed: tf.Tensor) -> Draw:
    """Draws one operation at any strength (arXiv:2103.10158)."""
    level = tf.random.stateless_uniform([], _fold(seed, 0), 0, LEVELS, tf.int32)
    level = tf.cast(level, tf.float32) / (LEVELS - 1)
    return _draw_index(seed, len(TRIVIAL)), level, _draw_sign(seed)


def draw_randaugment(seed: tf.Tensor, magnitude: float) -> Draw:
    """Draws one of the operations of RandAugment (arXiv:1909.13719), or -1 for none.

    The level varies around the magnitude, as in timm and "ResNet strikes back" (arXiv:2110.00476).
    """
    level = tf.random.stateless_normal([], _fold(seed, 0), magnitude, NOISE)
    level = tf.clip_by_value(level, 0.0, 1.0)
    taken = tf.random.stateless_uniform([], _fold(seed, 1)) < PROBABILITY
    return tf.where(taken, _draw_index(seed, len(RANDAUGMENT)), -1), level, _draw_sign(seed)


def perform(image: tf.Tensor, draw: Draw, space: Mapping[str, Strength], fill: float) -> tf.Tensor:
    """Runs only the operation that was drawn; an index of -1 leaves the image as it is."""
    image = _whole(tf.round(tf.cast(image, tf.float32)))
    index, level, sign = draw
    known = operations(fill)

    def branch(name: str, strength: Strength) -> Callable[[], tf.Tensor]:
        return lambda: _whole(known[name](image, strength(level, sign)))

    branches = [branch(name, strength) for name, strength in space.items()]
    changed = tf.switch_case(index, branches, default=lambda: image)
    return tf.ensure_shape(changed, image.shape)


def operations(fill: float) -> dict[str, Operation]:
    """Returns the operations by the names that timm and torchvision give them.

    Strengths are shares of a pixel for shears, pixels or shares of the side for translations,
    degrees for rotations, bits for posterize, grey levels for solarize, and for the others the
    weight of the image against what lacks the property. Pixels without a source become `fill`.
    """
    return {
        "Identity": lambda image, _: image,
        "AutoContrast": lambda image, _: auto_contrast(image),
        "Equalize": lambda image, _: equalize(image),
        "Invert": lambda image, _: 255.0 - image,
        "Rotate": lambda image, degrees: rotate(image, degrees, fill),
        "Posterize": lambda image, bits: tf.floor(image * 2 ** (bits - 8)) * 2 ** (8 - bits),
        "Solarize": lambda image, least: tf.where(image < least, image, 255.0 - image),
        "SolarizeAdd": lambda image, more: tf.where(image < 128.0, image + more, image),
        "Color": lambda image, weight: blend(whole_luminance(image), image, weight),
        "Contrast": lambda image, weight: blend(
            tf.round(tf.reduce_mean(whole_luminance(image))), image, weight
        ),
        "Brightness": lambda image, weight: image * weight,
        "Sharpness": lambda image, weight: blend(smooth(image), image, weight),
        "ShearX": lambda image, by: affine(image, (1.0, by, 0.5 * by, 0.0, 1.0, 0.0), fill),
        "ShearY": lambda image, by: affine(image, (1.0, 0.0, 0.0, by, 1.0, 0.5 * by), fill),
        "TranslateX": lambda image, by: affine(image, (1.0, 0.0, by, 0.0, 1.0, 0.0), fill),
        "TranslateY": lambda image, by: affine(image, (1.0, 0.0, 0.0, 0.0, 1.0, by), fill),
        "TranslateXRel": lambda image, by: affine(
            image, (1.0, 0.0, by * _sides(image)[1], 0.0, 1.0, 0.0), fill
        ),
        "TranslateYRel": lambda image, by: affine(
            image, (1.0, 0.0, 0.0, 0.0, 1.0, by * _sides(image)[0]), fill
        ),
    }


def affine(image: tf.Tensor, matrix: tuple[tf.Tensor | float, ...], fill: float) -> tf.Tensor:
    """Takes pixel (x, y) from (a x + b y + c, d x + e y + f), interpolating between four."""
    transform = tf.stack([*matrix, 0.0, 0.0])
    return keras.ops.image.affine_transform(
        image, transform, "bilinear", "constant", fill, data_format="channels_last"
    )


def rotate(image: tf.Tensor, degrees: tf.Tensor, fill: float) -> tf.Tensor:
    """Turns an image around its middle, counterclockwise."""
    radians = degrees * (math.pi / 180.0)
    cos = tf.cos(radians)
    sin = tf.sin(radians)
    middle_y, middle_x = tf.unstack((_sides(image) - 1.0) / 2.0)
    move_x = middle_x - cos * middle_x + sin * middle_y
    move_y = middle_y - sin * middle_x - cos * middle_y
    return affine(image, (cos, -sin, move_x, sin, cos, move_y), fill)


def auto_contrast(image: tf.Tensor) -> tf.Tensor:
    """Stretches each channel to 0..255."""
    layer = keras.layers.AutoContrast(dtype="float32")  # whatever else trains in half precision
    return layer.transform_images(image[tf.newaxis], None)[0] + 1e-3  # or white would be 254.9999


def equalize(image: tf.Tensor) -> tf.Tensor:
    """Spreads the grey levels of each channel, by the integer table of PIL.

    Keras has the textbook's table, which is another where few levels hold many pixels.
    """
    channels = image.shape[-1]
    pixels = tf.reshape(tf.cast(image, tf.int32), [-1, channels])
    places = pixels + 256 * tf.range(channels)  # each channel has its own 256 rows of the table
    counts = tf.math.bincount(
        tf.reshape(places, [-1]), minlength=256 * channels, maxlength=256 * channels
    )
    counts = tf.reshape(counts, [channels, 256])
    brightest = tf.gather(counts, tf.reduce_max(pixels, 0), batch_dims=1)
    step = (tf.shape(pixels)[0] - brightest)[:, tf.newaxis] // 255
    table = (tf.cumsum(counts, 1, exclusive=True) + step // 2) // tf.maximum(step, 1)
    table = tf.where(step > 0, table, tf.range(256))
    return tf.cast(
        tf.reshape(tf.gather(tf.reshape(table, [-1]), places), tf.shape(image)), "float32"
    )


def smooth(image: tf.Tensor) -> tf.Tensor:
    """Blurs all but the outermost pixels, which Keras darkens and PIL leaves."""
    kernel = tf.constant([1.0, 1, 1, 1, 5, 1, 1, 1, 1], shape=[3, 3, 1, 1]) / 13.0
    kernel = tf.tile(kernel, [1, 1, image.shape[-1], 1])
    inner = tf.nn.depthwise_conv2d(image[tf.newaxis], kernel, [1, 1, 1, 1], "VALID")[0]
    return image + tf.pad(tf.round(inner) - image[1:-1, 1:-1], [(1, 1), (1, 1), (0, 0)])


def luminance(image: tf.Tensor) -> tf.Tensor:
    """Returns [height, width, 1]; an image of other than three channels is its own."""
    if image.shape[-1] != 3:
        return image
    return tf.tensordot(image, LUMINANCE, 1)[:, :, tf.newaxis]


def whole_luminance(image: tf.Tensor) -> tf.Tensor:
    return tf.round(luminance(image))


def blend(without: tf.Tensor, image: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """Weighs an image against one that lacks a property; above 1 there is more of it."""
    return without + weight * (image - without)


def _signed(largest: float) -> Strength:
    return lambda level, sign: sign * largest * level


def _whole(image: tf.Tensor) -> tf.Tensor:
    return tf.floor(tf.clip_by_value(image, 0.0, 255.0))


def _sides(image: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.shape(image)[:2], tf.float32)


def _draw_index(seed: tf.Tensor, count: int) -> tf.Tensor:
    return tf.random.stateless_uniform([], _fold(seed, 2), 0, count, tf.int32)


def _draw_sign(seed: tf.Tensor) -> tf.Tensor:
    return tf.where(tf.random.stateless_uniform([], _fold(seed, 3)) < 0.5, -1.0, 1.0)


def _fold(seed: tf.Tensor, number: int) -> tf.Tensor:
    return tf.random.experimental.stateless_fold_in(seed, number)


def _none(level: tf.Tensor, _: tf.Tensor) -> tf.Tensor:
    return level


def _enhance(level: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    return tf.maximum(0.1, 1.0 + sign * 0.9 * level)


def _enhance_wide(level: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    return 1.0 + sign * 0.99 * level


# Those of timm's "inc1": the higher the level, the stronger the change.
RANDAUGMENT: dict[str, Strength] = {
    "AutoContrast": _none,
    "Equalize": _none,
    "Invert": _none,
    "Rotate": _signed(30.0),
    "Posterize": lambda level, _: tf.maximum(1.0, 4.0 - tf.floor(4.0 * level)),  # 0 bits are black
    "Solarize": lambda level, _: 256.0 - tf.floor(256.0 * level),
    "SolarizeAdd": lambda level, _: tf.floor(110.0 * level),
    "Color": _enhance,
    "Contrast": _enhance,
    "Brightness": _enhance,
    "Sharpness": _enhance,
    "ShearX": _signed(0.3),
    "ShearY": _signed(0.3),
    "TranslateXRel": _signed(0.45),
    "TranslateYRel": _signed(0.45),
}
# Those of torchvision.transforms.TrivialAugmentWide.
TRIVIAL: dict[str, Strength] = {
    "Identity": _none,
    "ShearX": _signed(0.99),
    "ShearY": _signed(0.99),
    "TranslateX": lambda level, sign: sign * tf.floor(32.0 * level),
    "TranslateY": lambda level, sign: sign * tf.floor(32.0 * level),
    "Rotate": _signed(135.0),
    "Brightness": _enhance_wide,
    "Color": _enhance_wide,
    "Contrast": _enhance_wide,
    "Sharpness": _enhance_wide,
    "Posterize": lambda level, _: 8.0 - tf.round(6.0 * level),
    "Solarize": lambda level, _: 255.0 * (1.0 - level),
    "AutoContrast": _none,
    "Equalize": _none,
}
