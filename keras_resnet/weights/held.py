"""One open file of weights, whatever its origin, under our names and in our layouts."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_resnet import family
from keras_resnet.manifest import Manifest
from keras_resnet.preprocessing import imagenet_labels
from keras_resnet.specs import FIELDS, Spec
from keras_resnet.weights.formats.containers import Container, opened as opened_container, reading
from keras_resnet.weights.formats.tensors import Tensor
from keras_resnet.weights.sources import SOURCES, native, timm
from keras_resnet.weights.sources.source import Renames, Source, Traits
from keras_resnet.weights.structure import check as check_structure, infer

# Fields that weights do not depend on; the classifier is compared by itself.
FREE = ("zero_gamma", "stochastic_depth", "output_stride", "image_size", "classes")


@dataclass(frozen=True)
class Held:
    """The weights in a file: where from, what of, and how to read them."""

    path: Path
    source: Source
    tensors: Mapping[str, Tensor]  # by our names, "stem_conv1/kernel"; kernels in our layout
    spec: Spec | None  # None where a file of plain Keras does not say it
    manifest: Manifest | None

    @property
    def classes(self) -> int | None:
        bias = self.tensors.get("logits/bias")
        return bias.shape[0] if bias and bias.shape else None

    def implies(self, name: str) -> bool:
        """Whether files of this source leave a weight out, as it would change nothing."""
        return re.fullmatch(self.source.implied, name) is not None

    def check(self, wanted: Spec) -> None:
        """Compares what the weights were trained in with what they are wanted for.

        Raises:
            ValueError: naming each field that differs, and the door that needs none.
        """
        if self.spec is None:
            return
        differ = [
            f"{name}={getattr(self.spec, name)!r} there, {getattr(wanted, name)!r} here"
            for name in FIELDS
            if name not in FREE and _meaning(self.spec, name) != _meaning(wanted, name)
        ]
        if differ:
            raise ValueError(
                f"{self.path} holds the weights of another network: {'; '.join(differ)}. Change"
                " these fields, or let resnet.from_weights build the network that fits"
            )


def _meaning(spec: Spec, field: str) -> Any:
    """The value of a field, or of what it comes to: a basic block strides first either way."""
    if field == "stride_on":
        return spec.strided
    if field == "zero_channels" and spec.shortcut != "A":
        return None
    return getattr(spec, field)


@contextmanager
def opened(
    path: Path, source: str | None = None, fields: Mapping[str, Any] | None = None
) -> Iterator[Held]:
    """Opens a file of weights and finds out whose they are and what of.

    Args:
        path: a local file in any format that `containers` reads.
        source: a name in `SOURCES`; by default known from the names of the tensors.
        fields: of the spec, as far as they are wanted; they decide what a file leaves open.

    Raises:
        ValueError: if the file is missing, damaged, hostile or of no source.
    """
    if source is not None and source not in SOURCES:
        raise ValueError(f"source must be one of {list(SOURCES)}, got {source!r}")
    with opened_container(path) as container:
        with reading(path):
            found, renames = _identify(container, source)
        decided = {name: _decided(found, name, fields or {}) for name in found.undecided}
        with reading(path):
            held = _held(container, found, renames, decided)
        yield held


def _held(
    container: Container, source: Source, renames: Renames, decided: Mapping[str, Any]
) -> Held:
    tensors = {
        ours: _laid_out(container.tensors[foreign], source.layout)
        for foreign, ours in renames.items()
        if ours
    }
    path = container.path
    if source is native.SOURCE:
        if container.manifest is None:
            return Held(path, source, tensors, None, None)
        manifest = Manifest.from_json(container.manifest)
        if "classes" in manifest.fields:
            raise ValueError("the number of classes is that of its labels, and no field")
        spec = family.spec(manifest.network, **manifest.fields, classes=len(manifest.labels))
        check_structure(tensors, spec)
        return Held(path, source, tensors, spec, manifest)
    traits = source.traits(container)
    spec = infer(tensors, {**traits.fields, **decided})
    check_structure(tensors, spec)
    return Held(path, source, tensors, spec, _describe(container, source, spec, traits, tensors))


def _identify(container: Container, name: str | None) -> tuple[Source, Renames]:
    """Returns the source that knows most of the names, and its names for them.

    Raises:
        ValueError: if none knows the stem, or the one that does not all.
    """
    if name:
        candidates = [SOURCES[name]]
    elif container.config:  # torchvision has the same names, but nothing beside its files
        candidates = [timm.SOURCE, *SOURCES.values()]
    else:
        candidates = list(SOURCES.values())
    names = list(container.tensors)
    renames = {source.name: source.rename(names) for source in candidates}
    best = max(candidates, key=lambda source: len(renames[source.name]))
    found = renames[best.name]
    if "stem_conv1/kernel" not in found.values():
        raise ValueError(
            f"its tensors {sorted(names)[:3]} ... are none of {name or ', '.join(SOURCES)}"
        )
    unknown = sorted(set(names) - set(found))
    if unknown:
        raise ValueError(f"it looks like {best.name}, but holds also {unknown[:5]}")
    counts = Counter(name for name in found.values() if name)
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise ValueError(f"it holds twice {twice[:5]}")
    return best, found


def _laid_out(tensor: Tensor, layout: str) -> Tensor:
    """Turns kernels to height, width, in, out; classifiers to in, out; all to float32."""
    axes = tuple(range(len(tensor.shape)))
    if layout == "OIHW" and len(axes) in (2, 4):
        axes = (1, 0) if len(axes) == 2 else (2, 3, 1, 0)
    shape = tuple(tensor.shape[axis] for axis in axes)
    return Tensor(shape, lambda: np.asarray(tensor.read()).astype(np.float32).transpose(axes))


def _decided(source: Source, field: str, fields: Mapping[str, Any]) -> Any:
    allowed = source.undecided[field]
    if field not in fields or fields[field] not in allowed:
        given = f", got {fields[field]!r}" if field in fields else ""
        raise ValueError(
            f"files of {source.name} do not say their {field}: name the network, or give"
            f" {' or '.join(f'{field}={value!r}' for value in allowed)}{given}"
        )
    return fields[field]


def _describe(
    container: Container,
    source: Source,
    spec: Spec,
    traits: Traits,
    tensors: Mapping[str, Tensor],
) -> Manifest:
    network, fields = family.nearest(spec)
    size, channels = traits.preprocessing.image_size, tensors["stem_conv1/kernel"].shape[2]
    return Manifest(
        network,
        (size, size, channels),
        labels(spec.classes, traits.labels),
        traits.preprocessing,
        fields,
        source={
            "name": source.name,
            "file": container.path.name,
            "sha256": container.sha256,
        },
    )


def labels(classes: int, known: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Returns the names of classes: those known, ImageNet's where there are 1,000, or numbers."""
    for names in (known, tuple(name for _, name in imagenet_labels())):
        if len(names) == classes:
            return names
    return tuple(map(str, range(classes)))


def adapted(manifest: Manifest, spec: Spec, channels: int) -> Manifest:
    """Returns a manifest that fits another classifier, other channels or other free fields.

    Other channels than the weights were trained on get the average of the means.
    """
    network, fields = family.nearest(spec)
    names = manifest.labels if len(manifest.labels) == spec.classes else labels(spec.classes)
    scaling, shape = manifest.preprocessing, manifest.image_shape
    if channels != shape[2]:
        mean = None if scaling.mean is None else float(np.mean(scaling.mean))
        scaling = replace(scaling, bgr=False, mean=mean, std=float(np.mean(scaling.std)))
    return replace(
        manifest,
        network=network,
        fields=fields,
        labels=names,
        preprocessing=scaling,
        image_shape=(*shape[:2], channels),
    )
