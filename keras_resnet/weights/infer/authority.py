"""Who decides what a file of weights holds: one order, for every fact and at every door.

1. What the user says, unless the file proves it wrong.
2. What the file states: our manifest, Keras's configuration, timm's config.json.
3. What names and shapes prove.
4. The convention of its source, for networks that the source publishes. Where the file is not known
   to be one of them by its hash, this is recorded as assumed, and shown.

What none of them settles is undecided: an error that lists the choices. The name of a network
counts less than a field that is said of it: `resnet50` alone does not make v1 of weights that are
v1.5 by convention, and `stride_on="first"` does.
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

# Fields that weights depend on, in an order in which each depends on those before it only.
FIRST = ("repeats", "branch", "stem", "shortcut")
DECIDED = (*FIRST, *(name for name in FIELDS if name not in (*FREE, *FIRST)))
TABLES = ("stem", "branch", "repeats")
DEFAULT = Spec(BASIC, (1,))
PREPROCESSING = tuple(field.name for field in dataclasses.fields(Preprocessing))


class Undecided(ValueError):
    """A fact is open: neither file nor user says it; the message lists the choices."""


@dataclass(frozen=True)
class Told:
    """What a user says of a file of weights; by default nothing.

    Raises:
        ValueError, TypeError: for what no network and no preprocessing can be.
    """

    network: str | None = None
    spec: Spec | None = None  # in place of a network's name, of one that is built already
    exact: bool = False  # the network or spec and the fields are meant to the last field
    fields: Mapping[str, Any] = field(default_factory=dict)  # of the spec
    classes: int | None = None  # outputs of the classifier
    preprocessing: Preprocessing | str | None = None  # a published one by its name
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
        """Fields that follow from the network's name, and count less than those that are said."""
        spec = self._named_spec
        return _values(spec) if spec else {}

    @property
    def free(self) -> dict[str, Any]:
        """Fields of the named network that weights do not depend on."""
        spec = self._named_spec
        return {name: getattr(spec, name) for name in FREE} if spec else {}

    @property
    def wanted(self) -> Spec | None:
        """The spec that the user means, if he names a network or gives a spec."""
        spec = self._named_spec
        return replace(spec, **self.fields) if spec else None

    @property
    def _named_spec(self) -> Spec | None:
        return family.FAMILY[self.network] if self.network else self.spec


NOTHING = Told()


@dataclass(frozen=True)
class Evidence:
    """What a file brings with it."""

    source: str
    proof: Proof
    traits: Traits
    spec: Spec | None  # as a manifest or a configuration states it
    manifest: Manifest | None
    graph: Graph
    quantized: str

    @property
    def stated(self) -> dict[str, Any]:
        """Fields of the spec that are written in the file."""
        shown = {name: value for name, value in self.graph.fields.items() if name not in FREE}
        return {**self.traits.stated, **shown, **(_values(self.spec) if self.spec else {})}


def architecture(evidence: Evidence, told: Told) -> tuple[Spec, list[str]]:
    """Returns the spec of the network in a file, and which of its fields are only assumed.

    Raises:
        Undecided: if a field is open.
        ValueError: if the user says what the file proves wrong.
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
    """Whether a field changes nothing: a graph shows all that do."""
    return bool(evidence.graph.fields) or not evidence.proof.matters(
        name, values.get("shortcut", "A")
    )


def _written(name: str, evidence: Evidence, named: Mapping[str, Any]) -> tuple[Any] | None:
    """Returns what the file states or proves of a field, or its source's convention."""
    if name in evidence.stated:
        return (evidence.stated[name],)
    proven = evidence.proof.value(name)
    if len(proven) == 1:
        return (proven[0],)
    if name in evidence.traits.convention:
        return (evidence.traits.convention[name],)
    # Where every block widens, B and C project alike, and so do they in every file.
    if name == "shortcut" and set(proven) == {"B", "C"}:
        return (named["shortcut"] if named.get("shortcut") in proven else "B",)
    return None


def _contradiction(name: str, values: Mapping[str, Any], evidence: Evidence) -> list[str]:
    """Says how the file proves wrong what a user says of a field, if it does."""
    value = values[name]
    if name in evidence.stated:
        stated = evidence.stated[name]
        matters = evidence.proof.matters(name, values.get("shortcut", "A"))
        return [_differ(name, (stated,), value)] if matters and stated != value else []
    if evidence.proof.allows(name, value):
        return []
    return [_differ(name, _likely(name, evidence), value)]


def _likely(name: str, evidence: Evidence) -> tuple[Any, ...]:
    """Returns what a field is where a user is wrong: as usual, or one of the choices."""
    usual = evidence.traits.convention
    return (usual[name],) if name in usual else evidence.proof.choices(name)


def _differ(name: str, there: tuple[Any, ...], here: Any) -> str:
    return f"{name}={' or '.join(map(repr, there))} there, {here!r} here"


def another_network(differences: list[str]) -> str:
    return (
        f"holds the weights of another network: {'; '.join(differences)}. Change these fields, or"
        " let keras_resnet.from_weights build the network that fits"
    )


def check_wanted(found: Spec, network: str, told: Told) -> None:
    """Compares the network in a file with the one that its user names.

    A name that is not meant exactly stands for all networks that differ from it by less than from
    any other name.

    Args:
        found: what the file holds.
        network: its name.
        told: what the user says.

    Raises:
        ValueError: naming each field that differs.
    """
    if told.wanted is None:
        return
    differ = disagreements(found, told.wanted)
    if differ and told.exact:
        raise ValueError(another_network(differ))
    if differ and told.network not in (None, network):
        raise ValueError(
            f"holds the weights of {network}, not of {told.network}: {'; '.join(differ)}. Leave"
            " --network out, or give by --field what differs"
        )


def check_classes(found: int | None, told: Told) -> None:
    """Raises ValueError if a file has a classifier of other classes than its user says."""
    if told.classes is not None and found not in (None, told.classes):
        raise ValueError(f"has {found} classes, not classes={told.classes}")


def _question(evidence: Evidence, fields: list[str]) -> str:
    choices = [
        " or ".join(f"{name}={_shown(value)}" for value in evidence.proof.choices(name))
        for name in fields
    ]
    return (
        f"is of {evidence.source}, whose files do not say their {', '.join(fields)}: name the"
        f" network, or give {'; '.join(choices)}"
    )


def _shown(value: Any) -> str:
    return repr(tuple(map(tuple, value)) if isinstance(value, tuple) else value)


def _free(evidence: Evidence, told: Told) -> dict[str, Any]:
    """Returns the fields that weights do not depend on."""
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
    """Lists the fields for which there is nothing but a convention."""
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
    """Returns the name of a network and the fields in which it differs from the one so called.

    The name is the file's own, or the user's, as far as they are right.
    """
    if evidence.manifest:
        name = evidence.manifest.network
    elif told.network and not differences(spec, family.spec(told.network, **told.fields)):
        name = told.network
    else:
        return family.nearest(spec)
    return name, family.changes(spec, name)


def disagreements(found: Spec, wanted: Spec) -> list[str]:
    """Lists the fields in which a network differs from the one that is wanted, with both values."""
    return [
        _differ(name, (getattr(found, name),), getattr(wanted, name))
        for name in differences(found, wanted)
    ]


def _values(spec: Spec) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in FIELDS if name not in FREE}
