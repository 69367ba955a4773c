"""From a name and a split to images and labels.

A split knows how to list its raw elements, in order or shuffled by a seed, and how to decode
one. The training stream that `pipeline` makes of it is a pure function of (seed, step).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

Element = Any  # an index, a path with its label, or a serialized record
IN_MEMORY_BYTES = 1 << 30
SHUFFLE_BUFFER = 16_384
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif")
HELD_OUT = 10  # of a folder without its own test split, one file in so many is for testing


@dataclass(frozen=True)
class Examples:
    """One split of a data set: `size` pairs of a uint8 image and a label.

    `elements(seed)` lists the raw elements, in order if `seed` is None, otherwise shuffled by
    an integer tensor [2]; `decode` makes an image [height, width, channels] and a label of one,
    or fails where images are `encoded`; `name` says which record it is.
    """

    size: int
    labels: tuple[str, ...]
    channels: int
    elements: Callable[[tf.Tensor | None], tf.data.Dataset]
    decode: Callable[[Element], tuple[tf.Tensor, tf.Tensor]]
    name: Callable[[Element], tf.Tensor] = tf.strings.as_string
    encoded: bool = False


def load(name: str, split: str, data_dir: str | None, validation: int = 0) -> Examples:
    """Opens a split of a data set.

    Args:
        name: "digits" (in scikit-learn), "folder" (`data_dir/train/CLASS/x.jpg`), or an image
            classification data set of TFDS such as "cifar10" or "imagenet2012".
        data_dir: where the set is; for TFDS by default its own place, and "digits" needs none.
        split: "train", "validation" or "test". A set without a test split uses its own
            validation split for testing, as is the custom with ImageNet.
        validation: how many examples of the training split are held out as "validation".

    Raises:
        ValueError: for an unknown set or split, or one that does not classify images.
    """
    if split not in ("train", "validation", "test"):
        raise ValueError(f"split must be 'train', 'validation' or 'test', got {split!r}")
    if split == "validation" and not validation:
        raise ValueError("the split 'validation' needs validation=, the examples to hold out")
    if data_dir is not None:
        data_dir = str(Path(data_dir).expanduser())
        if not Path(data_dir).is_dir():
            raise ValueError(f"data_dir must be a directory, got {data_dir!r}")
    if name == "digits":
        return _digits(split, validation)
    if name == "folder":
        return _folder(split, data_dir, validation)
    return _tfds(name, split, data_dir, validation)


def _digits(split: str, validation: int) -> Examples:
    """1,797 handwritten digits (UCI optdigits), a fifth of each for testing."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images = np.round(digits.images[..., np.newaxis] * (255 / 16)).astype(np.uint8)
    train_images, test_images, train_labels, test_labels = train_test_split(
        images, digits.target, test_size=0.2, random_state=0, stratify=digits.target
    )
    names = tuple(str(name) for name in digits.target_names)
    if split == "test":
        return _arrays(test_images, test_labels, names)
    part = _part(split, len(train_labels), validation)
    return _arrays(train_images[part], train_labels[part], names)


def _folder(split: str, data_dir: str | None, validation: int) -> Examples:
    if data_dir is None:
        raise ValueError("dataset='folder' needs data_dir, the directory of CLASS/xxx.jpg")
    root = Path(data_dir)
    own_splits = (root / "train").is_dir()
    tests = [name for name in ("test", "validation", "val") if (root / name).is_dir()]
    if own_splits and split == "test" and not tests:
        raise ValueError(f"{data_dir} has train/ but no test/, validation/ or val/")
    folder = root / (tests[0] if split == "test" else "train") if own_splits else root
    names = tuple(
        sorted(p.name for p in (root / "train" if own_splits else root).iterdir() if p.is_dir())
    )
    files = [
        (str(file), label)
        for label, name in enumerate(names)
        for file in sorted((folder / name).glob("*"))
        if file.suffix.lower() in IMAGE_SUFFIXES
    ]
    if not own_splits:
        files = [file for i, file in enumerate(files) if (i % HELD_OUT == 0) == (split == "test")]
    if not files:
        raise ValueError(f"no images ({', '.join(IMAGE_SUFFIXES)}) in {folder}/CLASS")
    if split != "test":
        np.random.default_rng(0).shuffle(files)  # so that held-out examples are of all classes
        files = files[_part(split, len(files), validation)]
    paths = tf.constant([path for path, _ in files])
    labels = tf.constant([int(label) for _, label in files], tf.int64)

    def decode(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        data = tf.io.read_file(paths[index])
        image = tf.io.decode_image(data, channels=3, expand_animations=False)
        image.set_shape([None, None, 3])
        return image, labels[index]

    def name(index: tf.Tensor) -> tf.Tensor:
        return paths[index]

    return Examples(len(files), names, 3, _indices(len(files)), decode, name, encoded=True)


def _tfds(dataset: str, split: str, data_dir: str | None, validation: int) -> Examples:
    builder = _tfds_builder(dataset, data_dir)
    features = builder.info.features
    builder.download_and_prepare()
    read = _tfds_split(builder, split, validation)
    size = builder.info.splits[read].num_examples
    channels = features["image"].shape[-1]

    def decode(record: Element) -> tuple[tf.Tensor, tf.Tensor]:
        example = features.deserialize_example(record["record"])
        return example["image"], example["label"]

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
    part = _part(split, size, validation)
    return f"train[{part.start or 0}:{size if part.stop is None else part.stop}]"


def _records(builder: Any, split: str) -> Callable[[tf.Tensor | None], tf.data.Dataset]:
    """Lists (file, number, serialized record): shuffled files, interleaved, then a buffer."""
    instructions = builder.info.splits[split].file_instructions
    files = tf.constant([instruction.filename for instruction in instructions])
    skips = tf.constant([i.skip for i in instructions], tf.int64)
    takes = tf.constant([i.take for i in instructions], tf.int64)

    def records(index: tf.Tensor) -> tf.data.Dataset:
        numbered = tf.data.TFRecordDataset(files[index]).enumerate()
        part = numbered.skip(skips[index]).take(takes[index])
        return part.map(
            lambda number, record: {"file": files[index], "number": number, "record": record}
        )

    def elements(seed: tf.Tensor | None) -> tf.data.Dataset:
        order = _indices(len(instructions))(seed)
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
    images, labels = next(iter(decoded))
    return _arrays(images, labels, examples.labels)


def _arrays(images: Any, labels: Any, names: tuple[str, ...]) -> Examples:
    images, labels = tf.constant(images), tf.constant(labels, tf.int64)

    def decode(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return images[index], labels[index]

    return Examples(len(labels), names, images.shape[-1], _indices(len(labels)), decode)


def _indices(size: int) -> Callable[[tf.Tensor | None], tf.data.Dataset]:
    def elements(seed: tf.Tensor | None) -> tf.data.Dataset:
        order = tf.range(size)
        if seed is not None:
            order = tf.random.experimental.stateless_shuffle(order, seed)
        return tf.data.Dataset.from_tensor_slices(order)

    return elements


def _part(split: str, size: int, validation: int) -> slice:
    """The examples of a training split that are trained on, or held out at its end."""
    if validation >= size:
        raise ValueError(f"validation must be below the {size} examples, got {validation}")
    return slice(size - validation, None) if split == "validation" else slice(size - validation)
