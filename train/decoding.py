"""From raw elements to images; those that cannot be decoded are counted, named, and left out."""

from typing import Any

import tensorflow as tf

from train.examples import Examples

IN_FLIGHT = 32  # encoded images that are decoded at a time


class Broken:
    """Counts the different records that cannot be decoded, and prints the name of each.

    Args:
        limit: how many may be left out.
    """

    def __init__(self, limit: int = 0) -> None:
        self.limit = limit
        self.names: set[str] = set()
        self.error = ""

    def tell(self, name: tf.Tensor) -> tf.Tensor:
        """Takes the name of a record, inside a graph; its reading fails beyond the limit."""
        return tf.numpy_function(self._count, [name], tf.int64)

    def _count(self, name: bytes) -> int:
        text = name.decode(errors="replace")
        if text not in self.names:
            self.names.add(text)
            # With its end in one piece: another thread may print at the same time.
            print(f"broken image {text}: left out, {len(self.names)} so far\n", end="", flush=True)
        if len(self.names) > self.limit:
            # The first to be too many; others come at the same time, from other threads.
            self.error = self.error or (
                f"{len(self.names)} images cannot be decoded, max_broken is {self.limit};"
                f" the last one is {text}"
            )
            raise ValueError(self.error)
        return len(self.names)


def message(error: Exception) -> str:
    """Returns what went wrong, without what TensorFlow says of itself around it."""
    text = error.message if isinstance(error, tf.errors.OpError) else str(error)
    text = (text or repr(error)).splitlines()[0].split("}} ")[-1].split(" [Op:")[0]
    return f"a file of records is damaged: {text}" if damaged(error) else text


def damaged(error: Exception) -> bool:
    """Whether it tells of a file of records that is cut short, or whose checksums are wrong."""
    return isinstance(error, tf.errors.DataLossError) or "dataset was expected" in str(error)


def decoded(
    examples: Examples, stream: tf.data.Dataset, broken: Broken | None = None
) -> tf.data.Dataset:
    """Maps (position, element) to (position, image, label).

    What cannot be decoded becomes black and of label -1, in its place, so that all others keep
    theirs: a step stays the same function of its number.
    """

    def decode(position: tf.Tensor, element: Any) -> tuple[tf.Tensor, ...]:
        return position, *examples.decode(element)

    def blank(position: tf.Tensor, element: Any) -> tuple[tf.Tensor, ...]:
        told = broken.tell(examples.name(element)) if broken else tf.constant(0)
        with tf.control_dependencies([told]):
            image = tf.zeros([8, 8, examples.channels], tf.uint8)
            return position, image, tf.constant(-1, tf.int64)

    def one(*row: Any) -> tf.data.Dataset:
        alone = tf.data.Dataset.from_tensors(row)
        return alone.map(decode).ignore_errors().concatenate(alone.map(blank)).take(1)

    if not examples.encoded:
        return stream.map(decode, tf.data.AUTOTUNE, deterministic=True)
    return stream.interleave(
        one, cycle_length=IN_FLIGHT, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )


def whole(examples: Examples, broken: Broken | None = None) -> tf.data.Dataset:
    """Lists (image, label) of all examples that can be decoded, in order."""
    stream = tf.data.Dataset.zip(tf.data.Dataset.range(examples.size), examples.elements(None))
    good = decoded(examples, stream, broken).filter(lambda _position, _image, label: label >= 0)
    return good.map(lambda _, image, label: (image, label))
