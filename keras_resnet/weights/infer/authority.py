"""Determines what a file of weights contains, for every fact in the same order:

1. What the user states, unless the file contradicts it.
2. What the file states: our manifest, the configuration of Keras, timm's config.json.
3. What names and shapes prove.
4. The convention of the source, for networks that the source publishes. Unless the file is known by
   its hash, such a fact is recorded as assumed, and a warning lists it.

If a fact remains unknown, an error lists the choices. The name of a network counts less than a
field: weights that are v1.5 by convention do not become v1 by the name `resnet50`, but they do by
`stride_on="first"`.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from keras_resnet import family
from keras_resnet.manifest import Manifest
from keras_resnet.preprocessing import Preprocessing
from keras_resnet.specs import BASIC, BOTTLENECK, FIELDS, FREE, Spec, differences, positive
from keras_resnet.weights.formats.keras_graphs import Graph
from keras_resnet.weights.infer.proof import Proof
from keras_resnet.weights.sources.source import Traits

__all__ = [
    "DECIDED",
    "NOTHING",
    "Evidence",
    "Told",
    "Undecided",
    "architecture",
    "check_classes",
    "check_wanted",
    "disagreements",
    "named",
]

# Fields on which weights depend; each is determined with the help of the fields before it.
FIRST = ("repeats", "branch", "stem", "shortcut")
DECIDED = (*FIRST, *(name for name in FIELDS if name not in (*FREE, *FIRST)))
TABLES = ("stem", "branch", "repeats")
DEFAULT = Spec(BASIC, (1,))
PREPROCESSING = tuple(field.name for field in dataclasses.fields(Preprocessing))


class Undecided(ValueError):
    """A fact is unknown: neither file nor user states it. The message lists the choices."""


@dataclass(frozen=True)
class Told:
    """What a user states about a file of weights; by default nothing.

    Raises:
        ValueError, TypeError: for an unknown network or field, or an invalid value.
    """

    network: str | None = None
    spec: Spec | None = None  # instead of the name: of a network that already exists
    exact: bool = False  # whether all fields of the network must be equal
    fields: Mapping[str, Any] = field(default_factory=dict)  # of the spec
    classes: int | None = None  # outputs of the classifier
    preprocessing: Preprocessing | str | None = None  # a string: a name in `MODES`
    preprocessing_fields: Mapping[str, Any] = field(default_factory=dict)  # of a `Preprocessing`
    activation: str | None = None  # what follows the logits

    def __post_init__(self) -> None:
        if self.network is not None:
            family.spec(self.network, **self.fields)
        if self.classes is not None:
            object.__setattr__(self, "classes", positive("classes", self.classes))
        unknown = sorted(set(self.fields) - set(FIELDS))
        unknown += sorted(set(self.preprocessing_fields) - set(PREPROCESSING))
        if unknown:
            raise TypeError(f"unknown argument {', '.join(unknown)}; the fields are {list(FIELDS)}")
        plain = Spec(BOTTLENECK, (1,))
        tables = {
            name: getattr(replace(plain, **{name: value}), name)
            for name, value in self.fields.items()
            if name in TABLES
        }
        object.__setattr__(self, "fields", {**self.fields, **tables})

    @property
    def named(self) -> dict[str, Any]:
        """Fields that follow from the name of the network; `fields` override them."""
        spec = self._named_spec
        return _values(spec) if spec else {}

    @property
    def free(self) -> dict[str, Any]:
        """Fields of the named network on which weights do not depend."""
        spec = self._named_spec
        return {name: getattr(spec, name) for name in FREE} if spec else {}

    @property
    def wanted(self) -> Spec | None:
        """The spec that the user names or gives, with `fields`; None without a name or spec."""
        spec = self._named_spec
        return replace(spec, **self.fields) if spec else None

    @property
    def _named_spec(self) -> Spec | None:
        return family.FAMILY[self.network] if self.network else self.spec


NOTHING = Told()


@dataclass(frozen=True)
class Evidence:
    """What a file states and proves, and the conventions of its source."""

    source: str
    proof: Proof
    traits: Traits
    spec: Spec | None  # from a manifest or a configuration
    manifest: Manifest | None
    graph: Graph
    quantized: str

    @property
    def stated(self) -> dict[str, Any]:
        """Fields of the spec that the file states."""
        shown = {name: value for name, value in self.graph.fields.items() if name not in FREE}
        return {**self.traits.stated, **shown, **(_values(self.spec) if self.spec else {})}


def architecture(evidence: Evidence, told: Told) -> tuple[Spec, list[str]]:
    """Returns the spec of the network in a file, and the fields that are only assumed.

    Raises:
        Undecided: if a field is unknown.
        ValueError: if the file contradicts the user.
    """
    named = told.named
    values: dict[str, Any] = {}
    wrong: list[str] = []
    open_fields: list[str] = []
    for name in DECIDED:
        if name in told.fields:
            values[name] = told.fields[name]
            wrong += _contradiction(name, values, evidence)
        elif (found := _written(name, evidence, named)) is not None:
            [values[name]] = found
        elif name in named and not evidence.proof.allows(name, named[name]):
            wrong.append(_differ(name, _likely(name, evidence), named[name]))
        elif name in named or _idle(name, values, evidence):
            values[name] = named.get(name, getattr(DEFAULT, name))
        else:
            open_fields.append(name)
    if wrong:
        raise ValueError(another_network(wrong))
    if open_fields:
        raise Undecided(_question(evidence, open_fields))
    spec = Spec(**{**values, **_free(evidence, told)})
    return spec, [] if evidence.traits.known else _assumed(evidence, told, named, values)


def _idle(name: str, values: Mapping[str, Any], evidence: Evidence) -> bool:
    """Whether a field is irrelevant, or a graph would have shown it."""
    return bool(evidence.graph.fields) or not evidence.proof.matters(
        name, values.get("shortcut", "A")
    )


def _written(name: str, evidence: Evidence, named: Mapping[str, Any]) -> tuple[Any] | None:
    """Returns the value of a field that the file states or proves, or that is the convention."""
    if name in evidence.stated:
        return (evidence.stated[name],)
    proven = evidence.proof.value(name)
    if len(proven) == 1:
        return (proven[0],)
    if name in evidence.traits.convention:
        return (evidence.traits.convention[name],)
    # If every block widens, options B and C are the same network.
    if name == "shortcut" and set(proven) == {"B", "C"}:
        return (named["shortcut"] if named.get("shortcut") in proven else "B",)
    return None


def _contradiction(name: str, values: Mapping[str, Any], evidence: Evidence) -> list[str]:
    """Returns a message if the file contradicts the value of a user; otherwise an empty list."""
    value = values[name]
    if name in evidence.stated:
        stated = evidence.stated[name]
        matters = evidence.proof.matters(name, values.get("shortcut", "A"))
        return [_differ(name, (stated,), value)] if matters and stated != value else []
    if evidence.proof.allows(name, value):
        return []
    return [_differ(name, _likely(name, evidence), value)]


def _likely(name: str, evidence: Evidence) -> tuple[Any, ...]:
    """Returns the likely values of a field: that of the convention, or all choices."""
    usual = evidence.traits.convention
    return (usual[name],) if name in usual else evidence.proof.choices(name)


def _differ(name: str, there: tuple[Any, ...], here: Any) -> str:
    return f"{name}={' or '.join(map(repr, there))} in the file, not {here!r}"


def another_network(differences: list[str]) -> str:
    return (
        f"contains weights of another network: {'; '.join(differences)}. Change these fields, or"
        " build the network of the file with keras_resnet.from_weights"
    )


def check_wanted(found: Spec, network: str, told: Told) -> None:
    """Compares the network in a file with the network that the user names.

    Unless it is meant exactly, a name matches all networks of which it is the nearest name.

    Args:
        found: the spec of the network in the file.
        network: its name.
        told: what the user states.

    Raises:
        ValueError: listing the fields that differ.
    """
    if told.wanted is None:
        return
    differ = disagreements(found, told.wanted)
    if differ and told.exact:
        raise ValueError(another_network(differ))
    if differ and told.network not in (None, network):
        raise ValueError(
            f"contains weights of {network}, not of {told.network}: {'; '.join(differ)}. Omit"
            " --network, or give the fields that differ as --field"
        )


def check_classes(found: int | None, told: Told) -> None:
    """Raises ValueError if a classifier in a file has another number of classes than stated."""
    if told.classes is not None and found not in (None, told.classes):
        raise ValueError(f"has {found} classes, not classes={told.classes}")


def _question(evidence: Evidence, fields: list[str]) -> str:
    choices = [
        " or ".join(f"{name}={_shown(value)}" for value in evidence.proof.choices(name))
        for name in fields
    ]
    return (
        f"is a file of {evidence.source}, which does not determine {', '.join(fields)}: name the"
        f" network, or give {'; '.join(choices)}"
    )


def _shown(value: Any) -> str:
    return repr(tuple(map(tuple, value)) if isinstance(value, tuple) else value)


def _free(evidence: Evidence, told: Told) -> dict[str, Any]:
    """Returns the fields on which weights do not depend."""
    shown = evidence.graph.fields
    found = {name: shown[name] for name in FREE if name in shown}
    if evidence.spec:
        found = {name: getattr(evidence.spec, name) for name in FREE}
    elif not told.exact:
        found = told.free | found
    if told.exact:
        found |= told.free
    return found | {name: told.fields[name] for name in FREE if name in told.fields}


def _assumed(
    evidence: Evidence, told: Told, named: Mapping[str, Any], values: Mapping[str, Any]
) -> list[str]:
    """Lists the fields that only a convention determines."""
    return [
        name
        for name, value in evidence.traits.convention.items()
        if name not in told.fields
        and name not in evidence.stated
        and len(evidence.proof.value(name)) != 1
        and named.get(name, ...) != value
        and evidence.proof.matters(name, values["shortcut"])
    ]


def named(spec: Spec, evidence: Evidence, told: Told) -> tuple[str, dict[str, Any]]:
    """Returns the name of a network, and the fields in which it differs from that name.

    The name is that of the manifest, that of the user if it fits exactly, or the nearest.
    """
    if evidence.manifest:
        name = evidence.manifest.network
    elif told.network and not differences(spec, family.spec(told.network, **told.fields)):
        name = told.network
    else:
        return family.nearest(spec)
    return name, family.changes(spec, name)


def disagreements(found: Spec, wanted: Spec) -> list[str]:
    """Lists the fields in which two networks differ, with both values."""
    return [
        _differ(name, (getattr(found, name),), getattr(wanted, name))
        for name in differences(found, wanted)
    ]


def _values(spec: Spec) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in FIELDS if name not in FREE}
