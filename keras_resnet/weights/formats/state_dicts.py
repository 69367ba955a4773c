"""Finds the tensors of a network in a checkpoint.

Training scripts store state dicts under various names, beside optimizers, settings and averaged
copies, and wrappers add prefixes to the names of tensors. A network is recognized by its first
convolution, not by the name under which it is stored.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from keras_resnet.weights.formats import refusals
from keras_resnet.weights.formats.numpy_files import Array
from keras_resnet.weights.formats.pickles import Unknown
from keras_resnet.weights.formats.tensors import Tensor

DEPTH = 5  # levels of nested dictionaries
LISTED = 10
# The first convolution in the PyTorch networks of `sources`, and the prefix before it.
FIRST = re.compile(r"(?P<root>(?:.*\.)?)(?:conv1|conv1\.0|convIn)\.weight", re.DOTALL)
# Words in names of averaged weights, which are preferred: accuracies are published for them.
AVERAGED = frozenset({"ema", "swa", "avg", "average", "averaged", "shadow"})
OPTIMIZER = frozenset({"optim", "optimizer", "optimizers"})


class Found(NamedTuple):
    """The tensors of a network, and the place that was chosen."""

    tensors: dict[str, Tensor]
    chosen: str = ""  # "model_ema of model, model_ema"; "" if there was only one place


class _Part(NamedTuple):
    """Tensors that may be a network."""

    place: str  # "model.", or with a prefix of the names "model.encoder_q."
    tensors: dict[str, Tensor]
    averaged: bool = False
    network: bool = False  # whether it has the first convolution
    unknown: Mapping[str, Unknown] = {}  # other objects, by name; never changed


@dataclass
class _Walk:
    """The content of a checkpoint: dictionaries of tensors, and objects for error messages."""

    parts: list[_Part] = field(default_factory=list)
    unknown: dict[str, Unknown] = field(default_factory=dict)  # by its path
    optimizers: list[str] = field(default_factory=list)


def find(content: Any, prefix: str | None = None) -> Found:
    """Returns the tensors of the network in `content`, without the prefixes of wrappers.

    Args:
        content: nested dictionaries and lists that contain tensors.
        prefix: read only the tensors whose names begin with it, and remove it from them. Names of
            the dictionaries around them may be included: "teacher.backbone.".

    Raises:
        ValueError: if there is no network, none with this prefix, or several of which none can be
            preferred.
    """
    walk = _walk(content)
    dictionaries = walk.parts
    if not dictionaries:
        raise ValueError(refusals.no_tensors(content, walk.unknown, walk.optimizers))
    if prefix is not None:
        dictionaries = _below(dictionaries, prefix)
    parts = [part for whole in dictionaries for part in _networks(whole)]
    networks = [part for part in parts if part.network]
    largest = max(len(part.tensors) for part in parts)
    chosen = _choose(networks or [part for part in parts if 2 * len(part.tensors) >= largest])
    refusals.check(chosen.tensors, chosen.unknown)
    if len(networks) < 2:
        return Found(chosen.tensors)
    places = _listed(part.place.rstrip(".") or "the top level" for part in networks)
    return Found(chosen.tensors, f"{chosen.place.rstrip('.')} of {places}")


def _walk(content: Any) -> _Walk:
    """Visits all dictionaries and lists of a checkpoint, outer ones first."""
    found = _Walk()
    queue: list[tuple[str, int, Any]] = [("", 0, content)]
    if _optimizes("", content):
        queue, found.optimizers = [], [""]
    seen: set[int] = set()
    for place, depth, value in queue:
        if id(value) in seen:  # a value can be in several places, and in itself
            continue
        seen.add(id(value))
        tensors: dict[str, Tensor] = {}
        unknown: dict[str, Unknown] = {}
        for key, each in _items(value):
            path = f"{place}{str(key)[:80]}"
            tensor = each.tensor if isinstance(each, Array) else each
            if isinstance(tensor, Tensor) and isinstance(key, str):
                tensors[key] = tensor
            elif _optimizes(key, each):
                found.optimizers.append(path)
            elif depth < DEPTH and (isinstance(each, dict) or type(each) in (list, tuple)):
                queue.append((f"{path}.", depth + 1, each))
            if isinstance(each, Unknown):
                found.unknown[path] = unknown[str(key)] = each
        if tensors:
            averaged = "n_averaged" in tensors
            found.parts.append(_Part(place, tensors, averaged, unknown=unknown))
    return found


def _items(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, dict):
        return value.items()
    return enumerate(value) if type(value) in (list, tuple) else ()


def _optimizes(key: Any, value: Any) -> bool:
    """Whether it is an optimizer state; momentum can have the shapes and names of weights."""
    if not isinstance(value, dict):
        return False
    return "param_groups" in value or not OPTIMIZER.isdisjoint(_words(str(key)[:80]))


def _words(name: str) -> list[str]:
    """Splits "model_ema", "model.ema2" and "modelEMA" alike."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def _below(parts: list[_Part], prefix: str) -> list[_Part]:
    """Returns tensors with a prefix of their names or, if there are none, of their paths."""
    end = "" if prefix.endswith((".", "/", "_")) or not prefix else r"[./]"
    start = re.compile(re.escape(prefix) + end)
    for whole in (False, True):
        found = []
        for part in parts:
            place = part.place if whole else ""
            named = [(start.match(place + name), name) for name in part.tensors]
            tensors = {
                (place + name)[match.end() :]: part.tensors[name] for match, name in named if match
            }
            unknown = {k: v for k, v in part.unknown.items() if start.match(place + k)}
            if tensors:
                found.append(part._replace(tensors=tensors, unknown=unknown))
        if found:
            return found
    raise ValueError(
        f"no name of a tensor begins with {prefix[:80]!r}; there are {_listed(_prefixes(parts))}"
    )


def _prefixes(parts: list[_Part]) -> list[str]:
    """Returns the places of networks or, if there are none, the first words of names."""
    networks = [p.place for part in parts for p in _networks(part) if p.network and p.place]
    names = (part.place + name for part in parts for name in part.tensors)
    begins = {name.split(".")[0].split("/")[0] for name in names}
    return networks or sorted(begins)


def _networks(part: _Part) -> list[_Part]:
    """Splits a dictionary by its first convolutions, and removes the prefixes before them."""
    roots = _roots(part)
    if len(roots) < 2:
        root = roots[0] if roots else _shared(part.tensors)
        tensors = _without(part.tensors, root)
        if roots:  # drop counters of steps, which are not part of the network
            tensors = {k: t for k, t in tensors.items() if "." in k or t.shape != ()}
        return [part._replace(tensors=tensors, network=bool(roots))]
    return [
        _Part(
            part.place + root,
            {k.removeprefix(root): t for k, t in part.tensors.items() if k.startswith(root)},
            part.averaged,
            True,
            {k: value for k, value in part.unknown.items() if k.startswith(root)},
        )
        for root in roots
    ]


def _roots(part: _Part) -> list[str]:
    """Returns the prefixes of whole networks; "" for a network without a prefix."""
    tensors = part.tensors
    channels = {}
    for name in (*tensors, *part.unknown):
        match = FIRST.fullmatch(name)
        shape = tensors[name].shape if name in tensors else (0, 0, 0, 0)  # such as quantized
        if match and len(shape) == 4:
            channels[match["root"]] = shape[1]
    outer: list[str] = []
    for root in sorted(channels):  # a block has a conv1, too, below the prefix of its network
        if not outer or not root.startswith(outer[-1]):
            outer.append(root)
    fewest = min((channels[root] for root in outer), default=0)
    outer = [root for root in outer if channels[root] == fewest]
    if len(outer) > LISTED:
        return []
    # A stem with a prefix of its own is not a whole network.
    counts = {root: sum(name.startswith(root) for name in tensors) for root in outer}
    return [root for root in outer if 2 * len(outer) * counts[root] >= len(tensors)]


def _shared(tensors: dict[str, Tensor]) -> str:
    """Returns the prefix of all names; at least layer and variable remain of a name."""
    names = [name.split(".") for name, t in tensors.items() if "." in name or t.shape != ()]
    most = max(min(map(len, names), default=0) - 2, 0)
    shared = ""
    for steps in islice(zip(*names, strict=False), most):
        if len(set(steps)) > 1:
            break
        shared += f"{steps[0]}."
    return shared


def _without(tensors: dict[str, Tensor], root: str) -> dict[str, Tensor]:
    """Removes a prefix, or the part that a name has: a classifier may be beside `encoder.`."""
    steps = [match.end() for match in re.finditer(r"\.", root)][:-17:-1]
    ends = [root, *(root[:end] for end in steps)]
    stripped: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        start = next((end for end in ends if name.startswith(end)), "")
        short = name.removeprefix(start)
        if short in stripped:
            raise ValueError(
                f"it contains {short[:80]!r} twice, with and without {root[:80]!r}; give"
                f" prefix={root[:80]!r} for the tensors with it"
            )
        stripped[short] = tensor
    return stripped


def _choose(parts: list[_Part]) -> _Part:
    """Returns the only part, or the only part of averaged weights."""
    averaged = [p for p in parts if p.averaged or not AVERAGED.isdisjoint(_words(p.place))]
    for found in (parts, averaged):
        if len(found) == 1:
            return found[0]
    places = [part.place or "the top level" for part in parts]
    raise ValueError(
        f"it contains {len(parts)} sets of weights, in {_listed(places)}; choose one, such as"
        f" prefix={next(part.place for part in parts if part.place)!r}"
    )


def _listed(names: Iterable[str]) -> str:
    some = [name[:80] for name in names]
    return ", ".join(some[:LISTED]) + (" ..." if len(some) > LISTED else "")
