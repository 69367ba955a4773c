"""Determines preprocessing, image shape, labels and activation of a file of weights.

The order is that of `authority`. An unknown fact is None; functions that need it raise an error.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from keras_resnet import family, preprocessing
from keras_resnet.labels import imagenet_labels, numbers
from keras_resnet.manifest import ACTIVATIONS, NONE, SOFTMAX, Manifest
from keras_resnet.preprocessing import Preprocessing
from keras_resnet.specs import Spec
from keras_resnet.weights.infer.authority import Evidence, Told

__all__ = [
    "activation_of",
    "adapted",
    "assumed",
    "image_shape",
    "labels",
    "labels_of",
    "preprocessing_of",
]

IMAGE_PARTS = ("image_size", "crop", "interpolation")
USUAL_CLASSES = 1000  # for a file without classifier, manifest or name of a network


def preprocessing_of(evidence: Evidence, told: Told, spec: Spec) -> Preprocessing | None:
    """Returns the preprocessing of a network; None if it is unknown.

    Raises:
        ValueError: if it does not fit the channels of the network, or if the user gives only a part
            of what is necessary.
    """
    if isinstance(told.preprocessing, Preprocessing):
        return _fitting(
            replace(told.preprocessing, **told.preprocessing_fields), evidence.proof.channels
        )
    found, stated = _of_file(evidence), told.preprocessing is None
    size = _size(evidence, told)
    parts = {"image_size": size, "crop": 0.875 if spec.stem_pool else 1.0}
    if found:
        parts = {name: getattr(found, name) for name in IMAGE_PARTS}
    if stated and found is None and not _scales(told):
        return None
    parts |= {
        name: told.preprocessing_fields[name]
        for name in IMAGE_PARTS
        if name in told.preprocessing_fields
    }
    if isinstance(told.preprocessing, str):
        found = _fitting(preprocessing.mode(told.preprocessing), evidence.proof.channels)
    if parts["image_size"] is None:
        raise ValueError("does not state the size of its images: give image_size")
    found = replace(found or Preprocessing(), **{**parts, **told.preprocessing_fields})
    return _fitting(found, evidence.proof.channels)


def _scales(told: Told) -> bool:
    """Whether the user gives mean and std.

    Raises:
        ValueError: if only one of them is given.
    """
    given = [name for name in ("mean", "std") if name in told.preprocessing_fields]
    if len(given) == 1:
        raise ValueError(f"{given[0]} alone is not enough: give mean and std")
    return bool(given)


def assumed(evidence: Evidence, told: Told, found: Preprocessing | None) -> dict[str, bool]:
    """Returns for preprocessing and crop whether they are only assumed."""
    if found is None or evidence.manifest or isinstance(told.preprocessing, Preprocessing):
        return {}
    said = told.preprocessing is not None or {"mean", "std"} <= set(told.preprocessing_fields)
    usual = evidence.traits.preprocessing
    return {
        "preprocessing": usual is not None and not said and not evidence.traits.known,
        "crop": usual is None and "crop" not in told.preprocessing_fields and found.crop < 1,
    }


def _of_file(evidence: Evidence) -> Preprocessing | None:
    if evidence.manifest:
        return evidence.manifest.preprocessing
    found, (height, width, _) = evidence.traits.preprocessing, _configured(evidence)
    if found and height and width:
        return replace(found, image_size=_square(height, width))
    return found


def _configured(evidence: Evidence) -> tuple[int | None, int | None, int | None]:
    return evidence.graph.image_shape or (None, None, None)


def _size(evidence: Evidence, told: Told) -> Any:
    """Returns the image size that manifest, configuration or network state, or None."""
    known = evidence.manifest.image_shape if evidence.manifest else _configured(evidence)
    height, width, _ = known
    if height and width:
        return _square(height, width)
    return family.PUBLISHED[told.network].image_size if told.network else None


def _square(height: int, width: int) -> Any:
    return height if height == width else (height, width)


def _fitting(found: Preprocessing, channels: int) -> Preprocessing:
    for name in ("mean", "std"):
        value = getattr(found, name)
        shape = np.shape(value)
        if value is not None and shape and shape[-1] not in (1, channels):
            raise ValueError(
                f"{name} has {shape[-1]} channels, images of this network have {channels}:"
                f" give {name}= with one value, or one per channel"
            )
    return found


def image_shape(
    evidence: Evidence, found: Preprocessing | None, told: Told
) -> tuple[int, int, int]:
    """Returns height, width and channels of an image; 0 for an unknown side."""
    if found:
        return (*found.size, evidence.proof.channels)
    size = told.preprocessing_fields.get("image_size", _size(evidence, told)) or 0
    height, width = size if isinstance(size, tuple) else (size, size)
    return height, width, evidence.proof.channels


def labels_of(evidence: Evidence, told: Told) -> tuple[tuple[str, ...], bool]:
    """Returns the names of the classes, and whether they are only assumed.

    Without a classifier they are those of the manifest, or of the published network.
    """
    classes = evidence.proof.classes or told.classes
    manifest = evidence.manifest
    if manifest and classes in (None, len(manifest.labels)):
        return manifest.labels, False
    if classes is None:
        classes = family.PUBLISHED[told.network].classes if told.network else USUAL_CLASSES
    found = labels(classes, evidence.traits.labels)
    return found, not evidence.traits.known and found != numbers(classes)


def labels(classes: int, known: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Returns names for classes: the known names, ImageNet's for 1,000 classes, or numbers.

    Args:
        classes: the number of classes.
        known: names, used if there are as many.
    """
    for names in (known, tuple(name for _, name in imagenet_labels())):
        if len(names) == classes:
            return names
    return numbers(classes)


def activation_of(evidence: Evidence, told: Told) -> tuple[str | None, bool]:
    """Returns the activation after the logits, or None, and whether it is only assumed.

    Raises:
        ValueError: if the graph in the file contradicts the user.
    """
    head = evidence.graph.head
    if told.activation is not None:
        if head not in (None, NONE, told.activation):
            raise ValueError(f"ends in {head}, not in activation={told.activation!r}")
        return told.activation, False
    if evidence.manifest and evidence.manifest.activation:
        return evidence.manifest.activation, False
    if head is not None:
        return (head if head in ACTIVATIONS else None), False
    if evidence.proof.classes is None or evidence.source == "keras_resnet":
        return None, False
    return SOFTMAX, not evidence.traits.known


def adapted(manifest: Manifest, channels: int, classes: int) -> Manifest:
    """Returns a manifest for a network with another classifier or other channels.

    Labels become ImageNet's or numbers if the number of classes differs; mean and std become their
    averages if the number of channels differs.

    Args:
        manifest: of the weights.
        channels: of the images of the network.
        classes: outputs of its classifier.
    """
    network, fields = family.nearest(manifest.spec)
    names = manifest.labels if len(manifest.labels) == classes else labels(classes)
    found = manifest.preprocessing
    shape = manifest.image_shape
    if found and channels != shape[2]:
        mean = None if found.mean is None else float(np.mean(found.mean))
        found = replace(found, bgr=False, mean=mean, std=float(np.mean(found.std)))
    return replace(
        manifest,
        network=network,
        fields=fields,
        labels=names,
        preprocessing=found,
        image_shape=(*shape[:2], channels),
    )
