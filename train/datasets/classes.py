"""The labels of TFDS: which classes there are, and that every label is one of them."""

from typing import Any

import numpy as np

from train.datasets.tfds import FIRST, Part

HINT = "training needs a ClassLabel, or an integer, for each image"


def of(builder: Any, parts: list[Part], *, whole: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the names of the classes, and notes for people.

    Integers without names are counted, where that takes little time.

    Args:
        builder: of a data set with the feature "label".
        parts: all that will be read.
        whole: whether it is small enough to look at every label.

    Raises:
        ValueError: for labels that are not one of some classes.
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
        raise ValueError(f"{builder.name} cannot be used: label is an integer without names"
                         " of classes, and the set is too large to count them; prepare it with a"
                         " ClassLabel")  # fmt: skip
    found = np.unique(np.concatenate([labels(builder, part) for part in parts]))
    count = int(found[-1]) + 1
    if found[0] >= 0 and len(found) < count:
        raise ValueError(f"{builder.name} cannot be used: label is an integer without names,"
                         f" of {len(found)} different values up to {found[-1]}; {count} classes"
                         " would need all of 0 to that")  # fmt: skip
    note = f"labels are integers without names: {count} classes, 0 to {count - 1}"
    return tuple(map(str, range(count))), (note,)


def labels(builder: Any, part: Part, count: int | None = None) -> np.ndarray[Any, Any]:
    """Reads the labels of a part, or its first ones, without the images."""
    import tensorflow_datasets as tfds

    stop = part.stop if count is None else min(part.stop, part.start + count)
    only = tfds.decode.PartialDecoding({"label": True})
    rows = builder.as_dataset(
        split=str(Part(part.split, part.start, stop)), decoders=only, shuffle_files=False
    )
    batches = rows.map(lambda row: row["label"]).batch(4096).as_numpy_iterator()
    return np.concatenate(list(batches)).astype(np.int64)


def check(builder: Any, part: Part, classes: int, *, whole: bool) -> None:
    """Refuses a split without labels, or with others than 0 to classes - 1.

    Raises:
        ValueError: naming the split and the label.
    """
    found = labels(builder, part, None if whole else FIRST)
    wrong = found[(found < 0) | (found >= classes)]
    if len(wrong):
        raise ValueError(f"{builder.name}: {len(wrong):,} of {len(found):,} labels of {part} are"
                         f" not of 0 to {classes - 1}, such as {wrong[0]}: the split is not"
                         " labelled, or is damaged")  # fmt: skip
