"""From the name of a data set and of a split to its examples.

Examples list their raw elements, in order or shuffled by a seed, and decode one. The training
stream that `batches` makes of them is a pure function of (seed, step).
"""

from pathlib import Path

import numpy as np

from train.datasets import folders, records
from train.datasets.examples import Examples, arrays, part
from train.datasets.record_files import ALONE, Crew


def load(
    name: str, split: str, data_dir: str | None, validation: int = 0, crew: Crew = ALONE
) -> Examples:
    """Opens a split of a data set.

    Args:
        name: "digits" (in scikit-learn), "folder" (`data_dir/CLASS/x.jpg`, or also
            `data_dir/train/CLASS/x.jpg`), or an image classification data set of TFDS such as
            "cifar10" or "imagenet2012".
        data_dir: directory of the set; by default that of TFDS. "digits" needs none.
        split: "train", "validation" or "test". A set without a test split uses its own
            validation split for testing, as is the custom with ImageNet.
        validation: how many examples of the training split are held out as "validation".
        crew: the workers that open the same split together.

    Raises:
        ValueError: for an unknown set or split, or one that does not classify images.
    """
    if split not in ("train", "validation", "test"):
        raise ValueError(f"split must be 'train', 'validation' or 'test', got {split!r}")
    data_dir = _directory(data_dir)
    if name == "folder":
        return folders.load(split, data_dir, validation)
    own = name != "digits" and records.has_validation(name, data_dir)
    if split == "validation" and not validation and not own:
        raise ValueError("the split 'validation' needs validation=, the examples to hold out")
    if name == "digits":
        return _digits(split, validation)
    return records.load(name, split, data_dir, validation, crew)


def splits(
    name: str, data_dir: str | None, validation: int = 0, crew: Crew = ALONE
) -> dict[str, Examples]:
    """Opens the splits of a training: "train", "test" and, where there is one, "validation".

    The latter is the set's own, if it has one besides its test split, or the examples that are
    held out.

    Args:
        name: as of `load`.
        data_dir: as of `load`.
        validation: as of `load`.
        crew: as of `load`.

    Raises:
        ValueError: as `load`.
    """
    place = _directory(data_dir)
    if name == "folder":
        return folders.splits(place, validation)
    held = validation or (name != "digits" and records.has_validation(name, place))
    names = ("train", "test", "validation") if held else ("train", "test")
    return {split: load(name, split, data_dir, validation, crew) for split in names}


def _directory(data_dir: str | None) -> str | None:
    if data_dir is None:
        return None
    place = Path(data_dir).expanduser()
    if not place.is_dir():
        raise ValueError(f"data_dir must be a directory, got {str(place)!r}")
    return str(place)


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
        return arrays(test_images, test_labels, names)
    own = part(split, len(train_labels), validation)
    return arrays(train_images[own], train_labels[own], names)
