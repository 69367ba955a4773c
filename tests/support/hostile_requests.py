"""What is fired at an export: requests of every kind, each with what has to come of it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from tests.support import hostile_images
from tests.support.hostile_images import Random

SIZE, CLASSES, MAX_BATCH = 32, 10, 128
PIXELS = ("serving_default", "features", "endpoints")  # signatures that take pixels
GOOD = 24  # requests whose answers are known to the last bit


@dataclass(frozen=True)
class Request:
    """One request.

    Args:
        verdict: "same" as when it was sent alone, "answer", "refuse" or "either".
        told: part of what a refusal says.
    """

    signature: str
    inputs: dict[str, np.ndarray]
    verdict: str
    told: str = ""
    code: str = "INVALID_ARGUMENT"
    number: int = 0  # of a good request


def texts(values: Any, *shape: int) -> np.ndarray:
    """Bytes in an array that keeps zeros at their end; of one dimension, or of this shape."""
    array = np.empty(len(values), object)
    array[:] = values
    return array.reshape(shape) if shape else array


def images(*values: bytes, verdict: str, told: str = "") -> Request:
    return Request("predict_bytes", {"image_bytes": texts(values)}, verdict, told)


def good(number: int) -> Request:
    """Every third takes pixels; batches are of one to four."""
    random = np.random.default_rng(number)
    count = 1 + number % 4
    if number % 3 == 0:
        pixels = random.uniform(0, 255, (count, SIZE, SIZE, 3)).astype(np.float32)
        return Request(PIXELS[number % 9 // 3], {"images": pixels}, "same", number=number)
    sent = texts([hostile_images.small(random) for _ in range(count)])
    return Request("predict_bytes", {"image_bytes": sent}, "same", number=number)


def any_good(random: Random) -> Request:
    return good(int(random.integers(GOOD)))


def spoiled(random: Random) -> Request:
    """One bad image among good ones."""
    batch = [hostile_images.small(random) for _ in range(3)]
    batch.insert(int(random.integers(4)), hostile_images.random_bytes(random))
    return images(*batch, verdict="refuse", told="not a JPEG, PNG or WebP")


def no_images(random: Random) -> Request:
    if random.integers(2):
        return images(verdict="refuse", told="1 to 128 images, this one has 0")
    return pixels(random, (0, SIZE, SIZE, 3), told="1 to 128 images, this one has 0")


def too_many(random: Random) -> Request:
    count = int(random.integers(MAX_BATCH + 1, 5000))
    told = f"this one has {count}"
    if random.integers(2):
        return images(*[hostile_images.pixel(random)] * count, verdict="refuse", told=told)
    return pixels(random, (count, SIZE, SIZE, 3), told=told)


def many(random: Random) -> Request:
    batch = [hostile_images.small(random) for _ in range(8)] * (MAX_BATCH // 8)
    return images(*batch, verdict="answer")


def pixels(random: Random, shape: tuple[int, ...], told: str) -> Request:
    array = np.full(shape, 127, np.float32)
    return Request(str(random.choice(PIXELS)), {"images": array}, "refuse", told)


def wrong_shape(random: Random) -> Request:
    right = (SIZE, SIZE, 3)
    shapes = [
        (),
        (SIZE,),
        right,
        (1, SIZE, SIZE),
        (1, 1, *right),
        (1, 0, 0, 3),
        (1, SIZE, 0, 3),
        (1, SIZE, SIZE, 1),
        (1, SIZE, SIZE, 4),
        (1, SIZE + 1, SIZE, 3),
    ]
    shape = shapes[random.integers(len(shapes))]
    return pixels(random, shape, "is not compatible with expected shape")


def wrong_shape_of_bytes(random: Random) -> Request:
    image = hostile_images.small(random)
    count = int(random.integers(1, 4))
    sent = texts([image] * count, *[(1, count), (count, 1), (1, 1, count)][random.integers(3)])
    if random.integers(4) == 0:
        sent = texts([image]).reshape(())
    told = "is not compatible with expected shape"
    return Request("predict_bytes", {"image_bytes": sent}, "refuse", told)


def wrong_type(random: Random) -> Request:
    if random.integers(3) == 0:
        array = np.zeros(4, random.choice([np.float32, np.int64, np.uint8]))
        return Request("predict_bytes", {"image_bytes": array}, "refuse", "is to be string, but")
    kind = [np.float64, np.uint8, np.int32, np.int64, np.bool_][random.integers(5)]
    array = np.zeros((1, SIZE, SIZE, 3), kind)
    if random.integers(5) == 0:
        array = texts([b"0.5"])
    return Request(str(random.choice(PIXELS)), {"images": array}, "refuse", "is to be float, but")


def not_finite(random: Random) -> Request:
    array = random.uniform(0, 255, (2, SIZE, SIZE, 3)).astype(np.float32)
    place = tuple(random.integers(0, size) for size in array.shape)
    array[place] = random.choice([np.nan, np.inf, -np.inf])
    return Request(str(random.choice(PIXELS)), {"images": array}, "refuse", "NaN or infinity")


def far_pixels(random: Random) -> Request:
    """Finite numbers, though no pixels: an answer, or a refusal, but whole."""
    array = np.full((1, SIZE, SIZE, 3), 10.0 ** random.uniform(3, 30), np.float32)
    return Request("features", {"images": array}, "either")


def wrong_names(random: Random) -> Request:
    image = hostile_images.small(random)
    own, other = {"image_bytes": texts([image])}, np.zeros((1, SIZE, SIZE, 3), np.float32)
    choices = [
        ({}, "Missing but required: {image_bytes}"),
        ({"image": own["image_bytes"]}, "Sent extra: {image}"),
        ({**own, "images": other}, "Sent extra: {images}"),
        ({"": own["image_bytes"]}, "Missing but required: {image_bytes}"),
    ]
    inputs, told = choices[random.integers(len(choices))]
    return Request("predict_bytes", inputs, "refuse", told)


def wrong_signature(random: Random) -> Request:
    name = ["predict", "classify_bytes", "serving_default ", "\N{SNOWMAN}"][random.integers(4)]
    return Request(name, {}, "refuse", "not found", "FAILED_PRECONDITION")


def _image(maker: Callable[[Random], bytes], verdict: str, told: str, random: Random) -> Request:
    return images(maker(random), verdict=verdict, told=told)


def kinds() -> dict[str, tuple[int, Callable[[Random], Request]]]:
    """How often each kind of request comes, and what makes it."""
    table: dict[str, tuple[int, Callable[[Random], Request]]] = {"good": (600, any_good)}
    for maker, told in hostile_images.BROKEN.items():
        table[maker.__name__] = (30, partial(_image, maker, "refuse", told))
    for maker in hostile_images.DAMAGED:
        often = 6 if maker.__name__.endswith("bomb") else 120
        table[maker.__name__] = (often, partial(_image, maker, "either", ""))
    for maker in hostile_images.WHOLE:
        table[maker.__name__] = (15, partial(_image, maker, "answer", ""))
    for own in (
        spoiled,
        no_images,
        wrong_shape,
        wrong_shape_of_bytes,
        wrong_type,
        not_finite,
        far_pixels,
        wrong_names,
        wrong_signature,
    ):
        table[own.__name__] = (30, own)
    table["too_many"], table["many"] = (4, too_many), (2, many)
    table["large"] = (2, partial(_image, hostile_images.large, "answer", ""))
    return table
