"""From raw elements to images; those that cannot be decoded are counted, named and left out."""

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import tensorflow as tf

from keras_resnet import console
from keras_resnet.preprocessing.decoding.errors import message
from keras_resnet.preprocessing.views import Look
from train.datasets.examples import Element, Examples, Pair

AT_ONCE = 32  # images of a group at most; to begin a group costs as much as to decode two
# Groups that are read and decoded at the same time: a slow image or disk is waited for.
GROUPS = max(16, 2 * (os.cpu_count() or 1))

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
            parts = [tf.io.serialize_tensor(part) for part in tf.nest.flatten(element)]
            name = examples.name(element)
            row = tf.io.serialize_tensor(tf.stack([name, place, *parts]))
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
        for name, place, *parts in sorted(map(tuple, rows)):
            if name in self.names:
                continue
            self.names.add(name)
            text = name.decode(errors="backslashreplace")
            count = f"{len(self.names)} so far"
            reason = self._reason(self._sources[int(place)], parts)
            console.say(f"broken image {text}: {reason}; left out, {count}")
            if len(self.names) > self.limit:
                raise TooManyBroken(
                    f"{len(rows)} images cannot be decoded, max_broken is {self.limit};"
                    f" the last one is {text}"
                )

    @staticmethod
    def _reason(examples: Examples, parts: list[bytes]) -> str:
        """Decodes an element again, outside of a graph, where the error has a text."""
        spec = examples.elements(None).element_spec
        kinds = [part.dtype for part in tf.nest.flatten(spec)]
        tensors = [tf.io.parse_tensor(*pair) for pair in zip(parts, kinds, strict=True)]
        try:
            examples.decode(tf.nest.pack_sequence_as(spec, tensors))
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


def decoded(rows: tf.data.Dataset, at_once: int, decode: DecodeRow, note: Note) -> tf.data.Dataset:
    """Maps rows (position, element) to groups (positions, images, labels, weights).

    An element that cannot be decoded becomes a black image of class 0 with a weight of 0, in its
    place: all others keep their positions, and a step stays the same function of its number. All
    others have a weight of 1.

    TensorFlow can leave out what fails, but not replace it. So each group is a data set of its own,
    with a black image at its end, which then stands for whatever is missing. Groups are decoded at
    the same time, the images of one after another.

    Args:
        rows: their positions increase.
        at_once: rows of a group.
        decode: makes an image, of one shape for all, and a label of a position and an element.
        note: is told the elements that could not be decoded.
    """

    def group(positions: tf.Tensor, elements: Any) -> tf.data.Dataset:
        one_by_one = tf.data.Dataset.from_tensor_slices((positions, elements))
        good = one_by_one.map(lambda position, element: (position, *decode(position, element)))
        spec = good.element_spec
        blank = tf.nest.map_structure(lambda part: tf.zeros(part.shape, part.dtype), spec)
        found = good.ignore_errors().concatenate(tf.data.Dataset.from_tensors(blank))
        return found.batch(at_once + 1).map(partial(_in_place, note, positions, elements))

    return rows.batch(at_once).interleave(
        group,
        cycle_length=GROUPS,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


def _in_place(
    note: Note,
    positions: tf.Tensor,
    elements: Any,
    found: tf.Tensor,
    images: tf.Tensor,
    labels: tf.Tensor,
) -> tuple[tf.Tensor, ...]:
    """Brings what was decoded, and ends in a blank, to the positions of a group.

    Returns:
        positions, images, labels and weights [n].
    """
    count = tf.size(found) - 1
    places = tf.searchsorted(found[:-1], positions)
    there = (places < count) & (tf.gather(found, places) == positions)
    places = tf.where(there, places, count)
    missing = tf.nest.map_structure(lambda part: tf.boolean_mask(part, ~there), elements)
    with tf.control_dependencies([note(missing)]):
        weights = tf.cast(there, tf.float32)
    return positions, tf.gather(images, places), tf.gather(labels, places), weights


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

    groups = decoded(rows, AT_ONCE, decode, noting(examples, broken))
    good = groups.unbatch().filter(lambda _position, _image, _label, weight: weight > 0)
    return good.map(lambda _position, image, label, _weight: (image, label))
