"""Classes and labels of a set of TensorFlow Datasets, and the check that they fit together."""

from typing import Any

import numpy as np

from train.datasets.tfds import FIRST, Part

HINT = "training needs a ClassLabel, or an integer, for each image"


def names(
    builder: Any, parts: list[Part], *, whole: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the names of the classes, and notes for people.

    If labels are integers without names, their values are counted in a small set.

    Args:
        builder: of a data set with the feature "label".
        parts: all parts that will be read.
        whole: whether the set is small enough to read every label.

    Raises:
        ValueError: if labels are not a class each.
    """
    import tensorflow_datasets as tfds

    feature = builder.info.features["label"]
    kind = np.dtype(getattr(feature, "np_dtype", None) or object)
    if not isinstance(feature, tfds.features.Tensor) or feature.shape:
        raise ValueError(f"{builder.name} cannot be used: label is {feature}; {HINT}")
    if not np.issubdtype(kind, np.integer):
        raise ValueError(f"{builder.name} cannot be used: label has the type {kind}; {HINT}")
    if getattr(feature, "num_classes", None):
        return tuple(feature.names), ()
    if not whole:
        raise ValueError(
            f"{builder.name} cannot be used: label is an integer without names"
            " of classes, and the set is too large to count them; prepare it with a"
            " ClassLabel"
        )
    found = np.unique(np.concatenate([labels(builder, part) for part in parts]))
    count = int(found[-1]) + 1
    if found[0] >= 0 and len(found) < count:
        raise ValueError(
            f"{builder.name} cannot be used: label is an integer without names,"
            f" of {len(found)} different values up to {found[-1]}; {count} classes"
            " would need all of 0 to that"
        )
    note = f"labels are integers without names: {count} classes, 0 to {count - 1}"
    return tuple(map(str, range(count))), (note,)


def labels(builder: Any, part: Part, count: int | None = None) -> np.ndarray[Any, Any]:
    """Reads the labels of a part, or the first `count` of them, without the images; int64 [n]."""
    import tensorflow_datasets as tfds

    stop = part.stop if count is None else min(part.stop, part.start + count)
    only = tfds.decode.PartialDecoding({"label": True})
    rows = builder.as_dataset(
        split=str(Part(part.split, part.start, stop)), decoders=only, shuffle_files=False
    )
    batches = rows.map(lambda row: row["label"]).batch(4096).as_numpy_iterator()
    return np.concatenate(list(batches)).astype(np.int64)


def check(builder: Any, part: Part, classes: int, *, whole: bool) -> None:
    """Checks that the labels of a split are 0 to classes - 1.

    Args:
        builder: of the data set.
        part: the split.
        classes: number of classes.
        whole: whether to read all labels, or only the first ones.

    Raises:
        ValueError: naming the split and a wrong label.
    """
    found = labels(builder, part, None if whole else FIRST)
    wrong = found[(found < 0) | (found >= classes)]
    if len(wrong):
        raise ValueError(
            f"{builder.name}: {len(wrong):,} of {len(found):,} labels of {part} are"
            f" not of 0 to {classes - 1}, such as {wrong[0]}: the split is not"
            " labelled, or is damaged"
        )
