"""From raw elements to images; those that cannot be decoded are counted, named and left out."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import tensorflow as tf

from keras_resnet import console
from keras_resnet.preprocessing.decoding.errors import message
from train.datasets.examples import Element, Examples

IN_FLIGHT = 32  # encoded images that are decoded at the same time


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

    def source(self, examples: Examples) -> Callable[[Element], tf.Operation]:
        """Returns a function that notes, inside a graph, an element of these examples."""
        places = [i for i, known in enumerate(self._sources) if known is examples]
        if not places:
            self._sources.append(examples)
        place = str(places[0] if places else len(self._sources) - 1)

        def note(element: Element) -> tf.Operation:
            parts = [tf.io.serialize_tensor(part) for part in tf.nest.flatten(element)]
            name = examples.name(element)
            row = tf.io.serialize_tensor(tf.stack([name, place, *parts]))
            return self._rows.insert(tf.strings.to_hash_bucket_fast(name, tf.int64.max), row)

        return note

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


def watched(batches: Iterable[Any], broken: Broken | None) -> Iterator[Any]:
    """Yields batches, and reports the records of each that could not be decoded.

    Raises:
        TooManyBroken: if there are more records than the limit of `broken`.
    """
    for batch in batches:
        if broken:
            broken.check()
        yield batch


def decoded(
    examples: Examples, stream: tf.data.Dataset, broken: Broken | None = None
) -> tf.data.Dataset:
    """Maps (position, element) to (position, image, label, weight).

    An element that cannot be decoded becomes a black image of class 0 with a weight of 0, in its
    place: all others keep their positions, and a step stays the same function of its number. All
    others have a weight of 1.
    """

    note = broken.source(examples) if broken else lambda _element: tf.no_op()

    def decode(position: tf.Tensor, element: Any) -> tuple[tf.Tensor, ...]:
        image, label = examples.decode(element)
        return position, image, label, tf.constant(1.0)

    def blank(position: tf.Tensor, element: Any) -> tuple[tf.Tensor, ...]:
        with tf.control_dependencies([note(element)]):
            image = tf.zeros([8, 8, examples.channels], tf.uint8)
            return position, image, tf.constant(0, tf.int64), tf.constant(0.0)

    def one(*row: Any) -> tf.data.Dataset:
        alone = tf.data.Dataset.from_tensors(row)
        return alone.map(decode).ignore_errors().concatenate(alone.map(blank)).take(1)

    if not examples.encoded:
        return stream.map(decode, tf.data.AUTOTUNE, deterministic=True)
    return stream.interleave(
        one, cycle_length=IN_FLIGHT, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )


@tf.autograph.experimental.do_not_convert
def whole(examples: Examples, broken: Broken | None = None) -> tf.data.Dataset:
    """Lists (image, label) of all examples that can be decoded, in order."""
    stream = tf.data.Dataset.zip(tf.data.Dataset.range(examples.size), examples.elements(None))
    rows = decoded(examples, stream, broken)
    good = rows.filter(lambda _position, _image, _label, weight: weight > 0)
    return good.map(lambda _position, image, label, _weight: (image, label))
