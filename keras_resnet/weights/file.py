"""An open file of weights of any source, with our names and layouts."""

import json
import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from keras_resnet.manifest import SOFTMAX, Manifest
from keras_resnet.preprocessing import Preprocessing
from keras_resnet.specs import IMAGE, LOGITS, Spec, rounding_of, stem_conv
from keras_resnet.weights.formats import keras_graphs
from keras_resnet.weights.formats.containers import Container, opened as opened_container, reading
from keras_resnet.weights.formats.keras_graphs import Graph
from keras_resnet.weights.formats.tensors import Tensor
from keras_resnet.weights.infer import authority, images_and_labels
from keras_resnet.weights.infer.authority import NOTHING, Evidence, Told
from keras_resnet.weights.infer.proof import check as check_structure, prove
from keras_resnet.weights.sources import SOURCES, native, timm
from keras_resnet.weights.sources.source import Renames, Source

__all__ = ["Held", "opened"]

QUANTIZED = f"{rounding_of(IMAGE)}/range"  # in every quantized network, and in no other
STEM = f"{stem_conv(1)}/kernel"
OURS = f"{LOGITS}/"
MOST_TENSORS = 20_000  # ResNet-1202 has 7,300
log = logging.getLogger("keras_resnet")


@dataclass(frozen=True)
class Held:
    """An open file of weights: its source, its tensors, and the evidence of what it holds."""

    path: Path
    source: Source
    tensors: Mapping[str, Tensor]  # by our names, "stem_conv1/kernel"; kernels in our layout
    evidence: Evidence
    origin: Mapping[str, str] = field(default_factory=dict)  # name, file, sha256 if foreign

    @property
    def classes(self) -> int | None:
        """Outputs of the classifier; None without a classifier."""
        return self.evidence.proof.classes

    @property
    def head(self) -> str | None:
        """The final activation, by its name in Keras; None if the file does not state it."""
        return self.evidence.graph.head

    def implies(self, name: str) -> bool:
        """Whether files of this source omit a weight, because it would be an identity."""
        return re.fullmatch(self.source.implied, name) is not None

    def settle(self, told: Told = NOTHING) -> Manifest:
        """Determines what the file contains, in the order of `authority`; warns of assumptions.

        Args:
            told: what the user states.

        Returns:
            The manifest of the network: architecture, preprocessing, labels and activation.

        Raises:
            Undecided: if a fact remains unknown; the message lists the choices.
            ValueError: if the file contradicts the user.
        """
        evidence = self.evidence
        try:
            spec, assumed = authority.architecture(evidence, told)
            with reading(self.path):
                check_structure(self.tensors, spec)
            manifest = self._describe(spec, told, assumed)
            authority.check_wanted(spec, manifest.network, told)
            authority.check_classes(self.classes, told)
        except ValueError as error:
            if str(error).startswith(str(self.path)):
                raise
            raise type(error)(f"{self.path} {error}") from error
        if manifest.assumed:
            log.warning("%s: %s", self.path, _shown(manifest, spec))
        return manifest

    def _describe(self, spec: Spec, told: Told, assumed: list[str]) -> Manifest:
        evidence = self.evidence
        preprocessing = images_and_labels.preprocessing_of(evidence, told, spec)
        names, usual = images_and_labels.labels_of(evidence, told)
        activation, by_convention = images_and_labels.activation_of(evidence, told)
        guessed = {
            **images_and_labels.assumed(evidence, told, preprocessing),
            "labels": usual,
            "activation": by_convention,
        }
        assumed = assumed + [name for name, only in guessed.items() if only]
        network, fields = authority.named(spec, evidence, told)
        found = evidence.manifest or Manifest(
            network, (0, 0, 1), names, None, source=self.origin, quantized=evidence.quantized
        )
        return replace(
            found,
            network=network,
            image_shape=images_and_labels.image_shape(evidence, preprocessing, told),
            labels=names,
            preprocessing=preprocessing,
            fields=fields,
            activation=activation,
            assumed={**found.assumed, **dict.fromkeys(assumed, self.source.name)},
        )


def _shown(manifest: Manifest, spec: Spec) -> str:
    """Lists what is only assumed, for a warning."""
    by_source: dict[str, list[str]] = {}
    for name, source in manifest.assumed.items():
        by_source.setdefault(source, []).append(_fact(name, manifest, spec))
    told = [f"{', '.join(facts)} (usual for {source})" for source, facts in by_source.items()]
    return f"assumed {'; '.join(told)}; give arguments or flags for what differs"


def _fact(name: str, manifest: Manifest, spec: Spec) -> str:
    if name == "labels":
        return f"labels {manifest.labels[0]!r} ... {manifest.labels[-1]!r}"
    if name == "preprocessing" and manifest.preprocessing:
        return f"preprocessing {_pixels(manifest.preprocessing)}"
    if name == "crop" and manifest.preprocessing:
        return f"crop={manifest.preprocessing.crop:.4g}"
    if name == "stem":
        return f"stem={tuple(map(tuple, spec.stem))}"
    return f"{name}={getattr(spec if hasattr(spec, name) else manifest, name)!r}"


def _pixels(preprocessing: Preprocessing) -> str:
    mean, std = (
        "an image" if np.ndim(v) == 3 else np.round(v, 3).tolist() if v is not None else "unknown"
        for v in (preprocessing.mean, preprocessing.std)
    )
    order = "BGR" if preprocessing.bgr else "RGB"
    size = f"image_size={preprocessing.image_size}, crop={preprocessing.crop:.4g}"
    return f"({order} - {mean}) / {std}, {size}"


@contextmanager
def opened(path: Path, source: str | None = None, prefix: str | None = None) -> Iterator[Held]:
    """Opens a file of weights, and recognizes its source and network.

    Args:
        path: a local file in any format that `containers` reads.
        source: a name in `SOURCES`; by default recognized by the names of the tensors.
        prefix: of the names of the tensors to read, such as "backbone."; it is removed from them.

    Yields:
        The open file; its tensors can be read until the context ends.

    Raises:
        ValueError: if the file is missing, damaged, malicious, or of an unknown source.
    """
    if source is not None and source not in SOURCES:
        raise ValueError(f"source must be one of {list(SOURCES)}, got {source!r}")
    with opened_container(path, prefix) as container:
        with reading(path):
            found, renames = _identify(container, source)
            held = _held(container, found, renames)
        if container.chosen:
            log.warning("%s: read %s", path, container.chosen)
        yield held


def _held(container: Container, source: Source, renames: Renames) -> Held:
    found = _by_our_head(container)
    tensors = {
        ours: _laid_out(found[foreign], source.layout) for foreign, ours in renames.items() if ours
    }
    proof, graph = prove(tensors, source.options), _graph(container)
    manifest = _manifest(container.manifest)
    evidence = Evidence(
        source=source.name,
        proof=proof,
        traits=source.traits(container, proof),
        spec=_spec(manifest, graph),
        manifest=manifest,
        graph=graph,
        quantized=manifest.quantized if manifest else "int8" if QUANTIZED in tensors else "",
    )
    if evidence.spec:
        check_structure(tensors, evidence.spec)
    if manifest and manifest.image_shape[2] != proof.channels:
        raise ValueError(
            f"its manifest states {manifest.image_shape[2]} channels, its first kernel has"
            f" {proof.channels}"
        )
    if manifest and proof.classes not in (None, len(manifest.labels)):
        raise ValueError(
            f"its manifest has {len(manifest.labels)} labels, its classifier has {proof.classes}"
            " outputs"
        )
    foreign = {"name": source.name, "file": container.path.name}
    native_file = source is native.SOURCE
    origin = {} if native_file else {**foreign, "sha256": container.sha256}
    return Held(container.path, source, tensors, evidence, origin)


def _by_our_head(container: Container) -> dict[str, Tensor]:
    """Returns the tensors, with the classifier under our name."""
    graph = _graph(container)
    theirs = f"{graph.classifier}/"
    if not graph.fields or theirs == OURS:
        return container.tensors
    return {
        f"{OURS}{name.removeprefix(theirs)}" if name.startswith(theirs) else name: tensor
        for name, tensor in container.tensors.items()
    }


def _graph(container: Container) -> Graph:
    return keras_graphs.read(container.keras) or Graph()


def _manifest(text: str | None) -> Manifest | None:
    if text is None:
        return None
    values = json.loads(text)
    if "activation" not in values:  # a file of version 0.1, in which it was always softmax
        values["activation"] = SOFTMAX
    return Manifest.from_dict(values)


def _spec(manifest: Manifest | None, graph: Graph) -> Spec | None:
    if manifest:
        return manifest.spec
    return Spec.from_dict(graph.spec) if graph.spec else None


def _identify(container: Container, name: str | None) -> tuple[Source, Renames]:
    """Returns the source that knows most of the names, with the mapping of names.

    Raises:
        ValueError: if no source knows the stem, if there are unknown names, or if two tensors have
            the same name.
    """
    if name:
        candidates = [SOURCES[name]]
    elif container.config:  # torchvision has the same names, but no config.json
        candidates = [timm.SOURCE, *SOURCES.values()]
    else:
        candidates = list(SOURCES.values())
    names = list(_by_our_head(container))
    if len(names) > MOST_TENSORS:
        raise ValueError(f"it has {len(names):,} tensors; a network has at most {MOST_TENSORS:,}")
    renames = {source.name: source.rename(names) for source in candidates}
    best = max(candidates, key=lambda source: len(renames[source.name]))
    found = renames[best.name]
    if STEM not in found.values():
        if nested := _graph(container).nested:
            raise ValueError(
                f"its network is a layer, {', '.join(nested)}, of another model: save that model by"
                " itself"
            )
        raise ValueError(
            f"its tensors {sorted(names)[:3]} ... are not those of {name or ', '.join(SOURCES)}"
        )
    unknown = sorted(set(names) - set(found))
    if unknown:
        raise ValueError(f"it looks like {best.name}, but also contains {unknown[:5]}")
    counts = Counter(name for name in found.values() if name)
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise ValueError(f"it contains {twice[:5]} twice")
    return best, found


def _laid_out(tensor: Tensor, layout: str) -> Tensor:
    """Converts kernels to height, width, in, out; classifiers to in, out; all to float32."""
    axes = tuple(range(len(tensor.shape)))
    if layout == "OIHW" and len(axes) in (2, 4):
        axes = (1, 0) if len(axes) == 2 else (2, 3, 1, 0)
    shape = tuple(tensor.shape[axis] for axis in axes)
    return Tensor(shape, lambda: np.asarray(tensor.read()).astype(np.float32).transpose(axes))
