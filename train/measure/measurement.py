"""Networks measured on a split by a protocol, part by part."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from train.datasets.decoding import Broken, watched
from train.datasets.examples import Examples
from train.measure import batches, scores, views
from train.measure.networks import Member
from train.run import memory
from train.tasks.protocols import CROPS, MULTI_SCALE, ONE_CROP, SCALES, TEN_CROP, Protocol

# Examples of a part, which is what a killed evaluation computes again at most: some 5,000 crops.
PART = {ONE_CROP: 5000, TEN_CROP: 500, MULTI_SCALE: 100}

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Measured:
    """Scores of examples in the order of their positions.

    Attributes:
        scores: float32 [n, classes], logarithms of probabilities.
        labels: int64 [n].
        counts: bool [n], whether an example counts: its image could be decoded.
    """

    scores: Array
    labels: Array
    counts: Array


@dataclass(frozen=True)
class Pass:
    """One look of one network at all examples of a part."""

    batches: tf.data.Dataset
    scores: scores.Scores


class Measurement:
    """What is needed to measure the parts of a split one after another.

    Args:
        members: the networks, whose probabilities are averaged.
        examples: the split, whose labels are the compared classes.
        protocol: what a network sees of an image.
        batch_size: crops that go through a network at once, about.
        broken: notes the examples that cannot be decoded.

    Raises:
        ValueError: if the protocol does not fit a network, or a batch does not fit into memory.
    """

    def __init__(
        self,
        members: Sequence[Member],
        examples: Examples,
        protocol: Protocol,
        *,
        batch_size: int,
        broken: Broken,
    ) -> None:
        self.examples = examples
        self.size = PART[protocol.name]
        self.classes = len(examples.labels)
        self._broken = broken
        with tf.device("CPU:0"):  # where the pipeline runs
            self._first = tf.Variable(0, dtype=tf.int64, trainable=False)
            rows = batches.rows(examples, self._first, self.size)
        looks = {ONE_CROP: _central, TEN_CROP: _crops, MULTI_SCALE: _scales}[protocol.name]
        self._passes = [
            one
            for member in members
            for one in looks(_Place(member, examples, rows, batch_size, broken), protocol)
        ]

    @property
    def parts(self) -> range:
        """The positions at which parts begin."""
        return range(0, self.examples.size, self.size)

    def shape(self, first: int) -> tuple[int, int]:
        """Returns the number of examples of the part that begins there, and of classes."""
        return min(self.size, self.examples.size - first), self.classes

    def measure(self, first: int, note: Callable[[float], None]) -> Measured:
        """Returns the scores of a part.

        Args:
            first: where the part begins.
            note: is told how much more is done, in examples; a pass is a fraction of an example.

        Raises:
            TooManyBroken: if more images cannot be decoded than `broken` allows.
        """
        count, classes = self.shape(first)
        total = np.full([count, classes], -np.inf)
        labels = np.zeros(count, np.int64)
        seen = np.zeros(count, int)
        self._first.assign(first)
        for one in self._passes:
            for positions, images, own, weights in watched(one.batches, self._broken):
                good = weights.numpy() > 0
                places = (positions.numpy() - first)[good]
                found = one.scores(images).numpy()[good]
                with np.errstate(invalid="ignore"):  # of NaN, which counts as a wrong answer
                    total[places] = np.logaddexp(total[places], found)
                labels[places] = own.numpy()[good]
                seen[places] += 1
                note(len(good) / len(self._passes))
        self._broken.check()  # if no image of a part can be decoded, there may be no batch
        mean = (total - math.log(len(self._passes))).astype(np.float32)
        return Measured(mean, labels, seen == len(self._passes))


@dataclass(frozen=True)
class _Place:
    """Where a network meets the examples of a part."""

    member: Member
    examples: Examples
    rows: tf.data.Dataset
    batch_size: int
    broken: Broken

    def check(self, images: int, size: tuple[int, int]) -> None:
        """Refuses a batch that cannot fit into memory."""
        memory.check_evaluation(self.member.model, (*size, self.examples.channels), images)


def _central(place: _Place, _protocol: Protocol) -> Iterator[Pass]:
    member = place.member
    preprocess = member.preprocessing
    place.check(place.batch_size, preprocess.size)
    yield Pass(
        batches.crops(place.examples, preprocess.view, place.rows, place.batch_size, place.broken),
        scores.of_crop(member.model, preprocess.normalize, member.columns),
    )


def _crops(place: _Place, _protocol: Protocol) -> Iterator[Pass]:
    member = place.member
    preprocess = member.preprocessing
    look = views.five_crops(preprocess)
    count = max(1, place.batch_size // CROPS)
    place.check(count * CROPS, preprocess.size)
    yield Pass(
        batches.crops(place.examples, look, place.rows, count, place.broken),
        scores.of_mirrored_crops(member.model, preprocess.normalize, member.columns),
    )


def _scales(place: _Place, protocol: Protocol) -> Iterator[Pass]:
    member = place.member
    preprocess = member.preprocessing
    height, width = preprocess.size
    least = max(height, width)
    _check_scales(protocol.scales, least)
    whole = scores.of_whole(member.model, preprocess.normalize, member.columns, preprocess.size)
    pixels = place.batch_size * height * width // 2  # and as many of the mirror images
    for side in protocol.scales:
        place.check(2 * max(1, pixels // side**2), (side, side))
        look = views.at_scale(preprocess, side)
        yield Pass(batches.wholes(place.examples, look, place.rows, pixels, place.broken), whole)


def _check_scales(sides: Sequence[int], least: int) -> None:
    if min(sides) < least:
        raise ValueError(
            f"scales must be at least the {least} pixels of the network's images, got {min(sides)}"
        )
    if tuple(sides) == SCALES and least != SCALES[0]:
        raise ValueError(
            f"the paper's scales are for images of {SCALES[0]} pixels, those of this network have"
            f" {least}: give --scales"
        )
