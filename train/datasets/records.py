"""Sets of TensorFlow Datasets, read as serialized records."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from keras_resnet.preprocessing.decoding.errors import message
from keras_resnet.preprocessing.decoding.reading import require
from keras_resnet.preprocessing.views import Look, whole
from train.datasets import classes, tfds
from train.datasets.examples import Element, Examples, Pair, arrays, indices, part

IN_MEMORY_BYTES = 1 << 30
SHUFFLE_BUFFER = 16_384


def load(dataset: str, split: str, data_dir: str | None, validation: int) -> Examples:
    """Opens a split of a data set of TFDS; see `datasets.load`.

    Raises:
        ValueError: if the set cannot be prepared, or does not hold images and classes.
    """
    builder = tfds.opened(dataset, data_dir)
    _check_features(builder)
    try:
        return _load(builder, split, validation)
    except tf.errors.OpError as error:
        raise ValueError(message(error)) from error


def has_validation(dataset: str, data_dir: str | None) -> bool:
    """Whether a data set of TFDS has a validation split besides those to train and test on."""
    return "validation" in tfds.parts(tfds.opened(dataset, data_dir))[0]


def _load(builder: Any, split: str, validation: int) -> Examples:
    features = builder.info.features
    parts, notes = tfds.parts(builder)
    part = _part(builder, split, validation)
    shape = features["image"].shape
    size = sum(part.size for part in parts.values())
    small = None not in shape and size * np.prod(shape) <= IN_MEMORY_BYTES
    labels, said = classes.names(builder, list(parts.values()), whole=small)
    classes.check(builder, part, len(labels), whole=small)
    decoder = tfds.decoder(builder)
    channels = shape[-1]

    def decode(record: Element, look: Look = whole) -> Pair:
        example = features.deserialize_example(record["record"], decoders=decoder.told)
        label = tf.cast(example["label"], tf.int64)
        known = require((label >= 0) & (label < len(labels)), "label {}", label)
        with tf.control_dependencies([known]):
            return decoder.pixels(example["image"], look), tf.identity(label)

    def name(record: Element) -> tf.Tensor:
        return tf.strings.join(
            ["record ", tf.strings.as_string(record["number"]), " of ", record["file"]]
        )

    elements = _records(builder, str(part))
    examples = Examples(part.size, labels, channels, elements, decode, name)
    examples = _in_memory(examples) if small else examples
    return replace(examples, found=(*notes, *said, *decoder.notes))


def _check_features(builder: Any) -> None:
    info = builder.info
    found = dict(info.features) if hasattr(info.features, "keys") else {}
    if {"image", "label"} <= set(found):
        return
    keys = info.supervised_keys
    hint = f" (its supervised keys are {keys})" if keys else ""
    names = ", ".join(sorted(found)) or info.features
    raise ValueError(
        f"{builder.name} does not classify images: it needs the features image and"
        f" label, and has {names}{hint}"
    )


def _part(builder: Any, split: str, validation: int) -> tfds.Part:
    """Returns the examples of a split; the last ones of the training split may be held out."""
    own = tfds.parts(builder)[0].get("validation")
    if own and validation:
        raise ValueError(
            f"{builder.name} has its own validation split of {own.size:,} examples;"
            f" validation={validation} cannot be held out as well"
        )
    if split == "test" or own:
        return tfds.part_of(builder, split)
    whole = tfds.part_of(builder, "train")
    held = part(split, whole.size, validation)
    start = held.start or 0
    stop = whole.size if held.stop is None else held.stop
    return tfds.Part(whole.split, whole.start + start, whole.start + stop)


def _records(builder: Any, split: str) -> Callable[[tf.Tensor | None], tf.data.Dataset]:
    """Lists (file, number, serialized record): shuffled files, interleaved, then a buffer."""
    instructions = builder.info.splits[split].file_instructions
    files = tf.constant([instruction.filename for instruction in instructions])
    skips = tf.constant([i.skip for i in instructions], tf.int64)
    takes = tf.constant([i.take for i in instructions], tf.int64)

    def records(index: tf.Tensor) -> tf.data.Dataset:
        numbered = tf.data.TFRecordDataset(files[index]).enumerate()
        rows = numbered.skip(skips[index]).take(takes[index])
        # A truncated file must not pass for a smaller one: positions would shift.
        rows = rows.apply(tf.data.experimental.assert_cardinality(takes[index]))
        return rows.map(
            lambda number, record: {"file": files[index], "number": number, "record": record}
        )

    def elements(seed: tf.Tensor | None) -> tf.data.Dataset:
        order = indices(len(instructions))(seed)
        if seed is None:
            return order.flat_map(records)
        return _shuffle(order.interleave(records, cycle_length=16), seed)

    return elements


def _shuffle(records: tf.data.Dataset, seed: tf.Tensor) -> tf.data.Dataset:
    """Shuffles serialized records in a buffer, by this seed alone.

    `Dataset.shuffle` would mix in the global seed, and fails for a tensor if that seed is 0.
    """
    shuffled = tf.raw_ops.ShuffleDataset(
        input_dataset=tf.data.experimental.to_variant(records),
        buffer_size=tf.constant(SHUFFLE_BUFFER, tf.int64),
        seed=seed[0],
        seed2=seed[1] + 1,  # two zeros would mean any seed
        reshuffle_each_iteration=False,
        output_types=[tf.string, tf.int64, tf.string],
        output_shapes=[[]] * 3,
    )
    return tf.data.experimental.from_variant(shuffled, records.element_spec)


@tf.autograph.experimental.do_not_convert
def _in_memory(examples: Examples) -> Examples:
    decoded = examples.elements(None).map(examples.decode, tf.data.AUTOTUNE).batch(examples.size)
    try:
        images, labels = next(iter(decoded))
    except tf.errors.InvalidArgumentError:  # some are broken; they are left out as they are read
        return _encoded_in_memory(examples)
    return arrays(images, labels, examples.labels)


def _encoded_in_memory(examples: Examples) -> Examples:
    """Returns the same examples with their records in memory, in the order of decoded ones."""
    columns = next(iter(examples.elements(None).batch(examples.size)))

    def record(index: tf.Tensor) -> Element:
        return {name: column[index] for name, column in columns.items()}

    return replace(
        examples,
        elements=indices(examples.size),
        decode=lambda index, look=whole: examples.decode(record(index), look),
        name=lambda index: examples.name(record(index)),
    )
