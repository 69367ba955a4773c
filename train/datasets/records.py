"""Sets of TensorFlow Datasets: small ones are read into memory, large ones record by record."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from keras_resnet.preprocessing.decoding.errors import message
from keras_resnet.preprocessing.decoding.reading import require
from keras_resnet.preprocessing.views import Look, whole
from train.datasets import classes, tfds
from train.datasets.examples import Examples, Pair, arrays, indices, part
from train.datasets.record_files import ALONE, Crew, Piece, RecordFiles

IN_MEMORY_BYTES = 1 << 30


def load(
    dataset: str, split: str, data_dir: str | None, validation: int, crew: Crew = ALONE
) -> Examples:
    """Opens a split of a data set of TFDS; see `datasets.load`.

    Raises:
        ValueError: if the set cannot be prepared, or does not hold images and classes.
    """
    builder = tfds.opened(dataset, data_dir)
    _check_features(builder)
    _check_format(builder)
    try:
        return _load(builder, split, validation, crew)
    except tf.errors.OpError as error:
        raise ValueError(message(error)) from error


def has_validation(dataset: str, data_dir: str | None) -> bool:
    """Whether a data set of TFDS has a validation split besides those to train and test on."""
    return "validation" in tfds.parts(tfds.opened(dataset, data_dir))[0]


def _load(builder: Any, split: str, validation: int, crew: Crew) -> Examples:
    parts, notes = tfds.parts(builder)
    part = _part(builder, split, validation)
    shape = builder.info.features["image"].shape
    size = sum(part.size for part in parts.values())
    small = None not in shape and size * np.prod(shape) <= IN_MEMORY_BYTES
    labels, said = classes.names(builder, list(parts.values()), whole=small)
    classes.check(builder, part, len(labels), whole=small)
    parse = _parser(builder, len(labels))
    files = RecordFiles(_pieces(builder, str(part)), ALONE if small else crew)
    examples = Examples(
        part.size,
        labels,
        shape[-1],
        indices(part.size),
        lambda index, look=whole: parse(files.read(index), look),
        files.name,
    )
    if small:
        examples = _in_memory(examples, files.all().map(parse, tf.data.AUTOTUNE))
    return replace(examples, found=(*notes, *said, *tfds.decoder(builder).notes))


def _parser(builder: Any, classes: int) -> Callable[..., Pair]:
    """Returns a function that makes an image and a label, a class, of the data of a record."""
    decoder = tfds.decoder(builder)

    def parse(record: tf.Tensor, look: Look = whole) -> Pair:
        example = builder.info.features.deserialize_example(record, decoders=decoder.told)
        label = tf.cast(example["label"], tf.int64)
        known = require((label >= 0) & (label < classes), "label {}", label)
        with tf.control_dependencies([known]):
            return decoder.pixels(example["image"], look), tf.identity(label)

    return parse


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


def _check_format(builder: Any) -> None:
    found = builder.info.file_format.value
    if found != "tfrecord":
        raise ValueError(
            f"{builder.name} in {builder.data_dir} is stored as {found}, and only tfrecord can be"
            " read; prepare it again, with file_format='tfrecord'"
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


def _pieces(builder: Any, split: str) -> list[Piece]:
    return [
        Piece(one.filename, one.examples_in_shard, one.skip, one.take)
        for one in builder.info.splits[split].file_instructions
    ]


def _in_memory(examples: Examples, decoded: tf.data.Dataset) -> Examples:
    """Returns the same examples as arrays, unless some cannot be decoded: those need their names.

    Args:
        examples: which are read one by one.
        decoded: (image, label) of all of them, in order.
    """
    try:
        images, labels = next(iter(decoded.batch(examples.size)))
    except tf.errors.InvalidArgumentError:
        return examples
    return arrays(images, labels, examples.labels)
