"""From raw elements to images; those that cannot be decoded are counted, named and left out."""

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from keras_resnet import console
from keras_resnet.preprocessing.decoding.errors import message
from keras_resnet.preprocessing.views import Look
from train.datasets.examples import Element, Examples, Pair

AT_ONCE = 32  # images that `whole` puts in order at once
READERS = max(16, 2 * (os.cpu_count() or 1))  # images that are read and decoded at the same time
IN_FLIGHT = 2 * READERS  # images that are begun: a slow one is waited for, in its place

DecodeRow = Callable[[tf.Tensor, Element], Pair]  # (position, element) -> (image, label)
Note = Callable[[Any], tf.Tensor]  # of n elements


class TooManyBroken(ValueError):
    """More images than allowed cannot be decoded."""


class Broken:
    """The records that cannot be decoded: a graph notes them, and `check` reports them.

    No Python runs inside the pipeline: when the interpreter shuts down, it ends a thread of
    TensorFlow that calls Python, and threads that wait for that one would wait forever.

    Args:
        limit: how many records may be left out.
    """

    def __init__(self, limit: int = 0) -> None:
        self.limit = limit
        self.names: set[bytes] = set()
        self._sources: list[Examples] = []
        with tf.device("CPU:0"):
            # By a hash of the name, as TensorFlow has no table from strings to strings.
            self._rows = tf.lookup.experimental.MutableHashTable(tf.int64, tf.string, b"")

    def source(self, examples: Examples) -> Note:
        """Returns a function that notes, inside a graph, some elements of these examples."""
        places = [i for i, known in enumerate(self._sources) if known is examples]
        if not places:
            self._sources.append(examples)
        place = str(places[0] if places else len(self._sources) - 1)

        def note(element: Element) -> tf.Tensor:
            name = examples.name(element)
            row = tf.io.serialize_tensor(tf.stack([name, place, tf.strings.as_string(element)]))
            key = tf.strings.to_hash_bucket_fast(name, tf.int64.max)
            with tf.control_dependencies([self._rows.insert(key, row)]):
                return tf.identity(key)

        return partial(tf.map_fn, note, fn_output_signature=tf.int64)

    def check(self) -> None:
        """Prints a line for each record that was noted since the last call.

        Raises:
            TooManyBroken: if there are more records than the limit.
        """
        if int(self._rows.size()) == len(self.names):
            return
        rows = [tf.io.parse_tensor(row, tf.string).numpy() for row in self._rows.export()[1]]
        for name, place, element in sorted(map(tuple, rows)):
            if name in self.names:
                continue
            self.names.add(name)
            text = name.decode(errors="backslashreplace")
            count = f"{len(self.names)} so far"
            reason = self._reason(self._sources[int(place)], int(element))
            console.say(f"broken image {text}: {reason}; left out, {count}")
            if len(self.names) > self.limit:
                raise TooManyBroken(
                    f"{len(rows)} images cannot be decoded, max_broken is {self.limit};"
                    f" the last one is {text}"
                )

    @staticmethod
    def _reason(examples: Examples, element: int) -> str:
        """Decodes an element again, outside of a graph, where the error has a text."""
        try:
            examples.decode(tf.constant(element))
        except tf.errors.OpError as error:
            return message(error)
        return "it could not be read at first"


def noting(examples: Examples, broken: Broken | None) -> Note:
    """Returns what is told the elements of these examples that cannot be decoded."""
    return broken.source(examples) if broken else lambda _elements: tf.constant(0)


def watched(batches: Iterable[Any], broken: Broken | None) -> Iterator[Any]:
    """Yields batches, and reports the records of each that could not be decoded.

    Raises:
        TooManyBroken: if there are more records than the limit of `broken`.
    """
    for batch in batches:
        if broken:
            broken.check()
        yield batch


def decoded(rows: tf.data.Dataset, size: int, decode: DecodeRow, note: Note) -> tf.data.Dataset:
    """Maps rows (position, element) to batches (positions, images, labels, weights).

    An element that cannot be decoded becomes a black image of class 0 with a weight of 0, in its
    place: all others keep their positions, and a step stays the same function of its number. All
    others have a weight of 1.

    TensorFlow can leave out what fails, but not replace it. So rows are numbered before they are
    decoded, and gaps between the numbers are filled afterwards. The last row of each batch is a
    blank that cannot fail: every gap has an end, even if all images are broken.

    Args:
        rows: of examples.
        size: rows of a batch; the last one may have fewer.
        decode: makes an image, of one shape for all, and a label of a position and an element.
        note: is told the elements that could not be decoded.
    """
    batches = rows.batch(size)
    numbered = batches.map(_with_end).unbatch().enumerate()

    def row(number: tf.Tensor, place: tuple[tf.Tensor, Element]) -> tuple[tf.Tensor, ...]:
        return number, *_or_blank(decode, *place)

    images = numbered.map(row, IN_FLIGHT, deterministic=True).ignore_errors().batch(size + 1)
    images = images.scan(np.int64(-1), lambda last, found: (found[0][-1], (last, *found)))
    images = images.map(_without_gaps).rebatch(size + 1)
    options = tf.data.Options()
    options.threading.private_threadpool_size = READERS
    finished = tf.data.Dataset.zip(batches, images).map(partial(_finished, note))
    return finished.with_options(options)


def _with_end(positions: tf.Tensor, elements: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Adds a row to a batch: the element -1, which is none."""
    return tf.pad(positions, [(0, 1)]), tf.pad(elements, [(0, 1)], constant_values=-1)


def _or_blank(decode: DecodeRow, position: tf.Tensor, element: Element) -> Pair:
    """Decodes an element, or returns a black image of class 0 for -1."""
    kinds: list[tf.TensorSpec] = []

    def pair() -> Pair:
        found = decode(position, element)
        kinds.extend(map(tf.TensorSpec.from_tensor, found))
        return found

    def blank() -> Pair:  # is traced after the other branch, whose kinds it needs
        image, label = (tf.zeros(kind.shape, kind.dtype) for kind in kinds)
        return image, label

    return tf.cond(element >= 0, pair, blank)


def _without_gaps(
    last: tf.Tensor, numbers: tf.Tensor, images: tf.Tensor, labels: tf.Tensor
) -> tuple[tf.Tensor, ...]:
    """Fills in what is missing after the number `last`, up to the last of these numbers.

    Returns:
        whether each was there, images and labels.
    """
    count = numbers[-1] - last

    def filled() -> tuple[tf.Tensor, ...]:
        wanted = last + 1 + tf.range(count)
        places = tf.searchsorted(numbers, wanted)
        there = tf.gather(numbers, places) == wanted
        places = tf.where(there, places, tf.size(numbers))
        padded = (tf.concat([part, tf.zeros_like(part[:1])], 0) for part in (images, labels))
        return there, *(tf.gather(part, places) for part in padded)

    def same() -> tuple[tf.Tensor, ...]:
        return tf.fill([count], True), images, labels

    return tf.cond(count == tf.size(numbers, tf.int64), same, filled)


def _finished(
    note: Note, rows: tuple[tf.Tensor, tf.Tensor], found: tuple[tf.Tensor, ...]
) -> tuple[tf.Tensor, ...]:
    """Joins the rows of a batch and their images, and takes off the row at its end."""
    positions, elements = rows
    there, images, labels = (part[:-1] for part in found)
    with tf.control_dependencies([note(tf.boolean_mask(elements, ~there))]):
        weights = tf.cast(there, tf.float32)
    return positions, images, labels, weights


@tf.autograph.experimental.do_not_convert
def whole(examples: Examples, look: Look, broken: Broken | None = None) -> tf.data.Dataset:
    """Lists (image, label) of all examples that can be decoded, in order.

    Args:
        examples: any split.
        look: makes all images the same size.
        broken: notes the examples that cannot be decoded.
    """
    rows = tf.data.Dataset.zip(tf.data.Dataset.range(examples.size), examples.elements(None))

    def decode(_: tf.Tensor, element: Element) -> Pair:
        return examples.decode(element, look)

    batches = decoded(rows, AT_ONCE, decode, noting(examples, broken))
    good = batches.unbatch().filter(lambda _position, _image, _label, weight: weight > 0)
    return good.map(lambda _position, image, label, _weight: (image, label))
