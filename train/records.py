"""Data sets of TFDS, read as serialized records."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from keras_resnet import decoding
from train.examples import Element, Examples, arrays, indices, part

IN_MEMORY_BYTES = 1 << 30
SHUFFLE_BUFFER = 16_384


def load(dataset: str, split: str, data_dir: str | None, validation: int) -> Examples:
    builder = _tfds_builder(dataset, data_dir)
    features = builder.info.features
    _prepare(builder)
    read = _tfds_split(builder, split, validation)
    size = builder.info.splits[read].num_examples
    channels = features["image"].shape[-1]
    decoders, pixels = decoding.decoder(features["image"])

    def decode(record: Element) -> tuple[tf.Tensor, tf.Tensor]:
        example = features.deserialize_example(record["record"], decoders=decoders)
        return pixels(example["image"]), example["label"]

    def name(record: Element) -> tf.Tensor:
        return tf.strings.join(
            ["record ", tf.strings.as_string(record["number"]), " of ", record["file"]]
        )

    labels, elements = tuple(features["label"].names), _records(builder, read)
    examples = Examples(size, labels, channels, elements, decode, name, encoded=True)
    shape = features["image"].shape
    if None not in shape and size * np.prod(shape) <= IN_MEMORY_BYTES:
        return _in_memory(examples)
    return examples


def _prepare(builder: Any) -> None:
    try:
        builder.download_and_prepare()
    except (AssertionError, OSError) as error:  # files to be got by hand; no way to get them
        raise ValueError(
            f"{builder.name} {builder.version} is not prepared in {builder.data_dir}, and TFDS"
            f" cannot do it: {error}"
        ) from error


def _tfds_builder(name: str, data_dir: str | None) -> Any:
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except (tfds.core.DatasetNotFoundError, tfds.core.registered.DatasetNotFoundError) as error:
        raise ValueError(
            f"dataset must be 'digits', 'folder' or one of TFDS, got {name!r}"
        ) from error
    features = builder.info.features
    dictionary = isinstance(features, tfds.features.FeaturesDict)
    if not dictionary or not {"image", "label"} <= set(features.keys()):
        raise ValueError(f"{name} does not classify images: its features are {features}")
    return builder


def _tfds_split(builder: Any, split: str, validation: int) -> str:
    splits = set(builder.info.splits)
    if split == "test":
        found = "test" if "test" in splits and builder.name != "imagenet2012" else "validation"
        if found not in splits:
            raise ValueError(f"{builder.name} has no test split, only {sorted(splits)}")
        return found
    size = builder.info.splits["train"].num_examples
    own = part(split, size, validation)
    return f"train[{own.start or 0}:{size if own.stop is None else own.stop}]"


def _records(builder: Any, split: str) -> Callable[[tf.Tensor | None], tf.data.Dataset]:
    """Lists (file, number, serialized record): shuffled files, interleaved, then a buffer."""
    instructions = builder.info.splits[split].file_instructions
    files = tf.constant([instruction.filename for instruction in instructions])
    skips = tf.constant([i.skip for i in instructions], tf.int64)
    takes = tf.constant([i.take for i in instructions], tf.int64)

    def records(index: tf.Tensor) -> tf.data.Dataset:
        numbered = tf.data.TFRecordDataset(files[index]).enumerate()
        rows = numbered.skip(skips[index]).take(takes[index])
        # A file that ends too soon must not pass for a smaller one: positions would shift.
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

    `Dataset.shuffle` would mix in the global seed, and fails on a tensor where that is 0.
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


def _in_memory(examples: Examples) -> Examples:
    decoded = examples.elements(None).map(examples.decode, tf.data.AUTOTUNE).batch(examples.size)
    try:
        images, labels = next(iter(decoded))
    except tf.errors.InvalidArgumentError:  # some are broken, and left out where they are read
        return _encoded_in_memory(examples)
    return arrays(images, labels, examples.labels)


def _encoded_in_memory(examples: Examples) -> Examples:
    """Lists the same records in the same order as decoded ones."""
    columns = next(iter(examples.elements(None).batch(examples.size)))

    def record(index: tf.Tensor) -> Element:
        return {name: column[index] for name, column in columns.items()}

    return replace(
        examples,
        elements=indices(examples.size),
        decode=lambda index: examples.decode(record(index)),
        name=lambda index: examples.name(record(index)),
    )
