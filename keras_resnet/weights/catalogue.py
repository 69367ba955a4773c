"""Weights that have a name: those of this package, and the official ones of keras.applications.

A file of this package is `shipped/DATA_SET/NETWORK.weights.h5`, with a card beside it that says how
it was trained and what it reaches. `python -m train.lab.ship` writes both.
"""

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from keras_resnet import family
from keras_resnet.weights.disk import digest

__all__ = [
    "IMAGENET",
    "MOST_BYTES",
    "MOST_BYTES_IN_ALL",
    "SHIPPED",
    "Card",
    "Offer",
    "Offers",
    "cards",
    "list_weights",
    "place",
    "shipped",
]

SHIPPED = Path(__file__).with_name("shipped")
MOST_BYTES = 2_000_000  # of a file
MOST_BYTES_IN_ALL = 8_000_000
IMAGENET = "imagenet"
WORD = re.compile(r"\w{1,64}")  # a data set or a network; most paths have other characters
COLUMNS = ("network", "weights", "data set", "classes", "top-1", "size", "where", "other fields")


@dataclass(frozen=True)
class Card:
    """What is known of a file of weights of this package.

    Attributes:
        network: its name in the family.
        fields: of the spec, where they differ; only such as matter in training alone.
        dataset: what it was trained on.
        classes: number of classes.
        recipe: name of the recipe that the training followed.
        changes: fields of the recipe that differed, with their values in this training.
        published: what the source of the recipe reached, for comparison; "" if it says nothing.
        command: that trains it again.
        seed: of the training.
        steps: of the training.
        starts: where it was trained, a row for each start: the step after which it began, commit
            and whether files differed from it, precision of the activations, and hardware.
        kernels: type of the kernels in the file, "float16" or "float32"; all else is float32.
        accuracy: a row for each way to measure: protocol, split, number of images, top-1 in
            percent. The first one is that of the file.
        curve: (step, training error, error of `curve_split`), errors in percent. The training error
            is the mean over the last steps, of augmented images.
        curve_split: what the run was measured on on its way, "test" or "validation".
        bytes: size of the file.
        sha256: of the file, in hexadecimal digits.
    """

    network: str
    fields: Mapping[str, Any]
    dataset: str
    classes: int
    recipe: str
    changes: Mapping[str, Any]
    published: str
    command: str
    seed: int
    steps: int
    starts: Sequence[Mapping[str, Any]]
    kernels: str
    accuracy: Sequence[Mapping[str, Any]]
    curve: Sequence[Sequence[float]]
    curve_split: str
    bytes: int
    sha256: str

    @property
    def name(self) -> str:
        """Data set and network, as `from_weights` takes them."""
        return f"{self.dataset}/{self.network}"

    @property
    def top1(self) -> float:
        """Accuracy of the file, in percent."""
        return self.accuracy[0]["top1"]

    def to_json(self) -> str:
        """Returns the card as JSON, a line for each attribute."""
        lines = [
            f" {json.dumps(name)}: {json.dumps(value)}" for name, value in asdict(self).items()
        ]
        return "{\n" + ",\n".join(lines) + "\n}\n"

    @classmethod
    def from_json(cls, text: str) -> "Card":
        """Returns the card of a text from `to_json`.

        Raises:
            ValueError, TypeError: for invalid JSON, and for missing or unknown attributes.
        """
        return cls(**json.loads(text))


class Offer(NamedTuple):
    """Weights that can be had by name."""

    network: str
    weights: str  # what to give as weights=
    dataset: str
    classes: int
    top1: float  # accuracy in percent, of one central view of each image
    megabytes: float  # of the file
    where: str
    fields: Mapping[str, Any]  # of the spec, that have to be given, too


class Offers(tuple[Offer, ...]):
    """Several `Offer`s; as text a table."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self:
            return "no weights by name; weights= also takes files, URLs and hf://owner/name"
        rows = [COLUMNS, *map(_row, self)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
        return "\n".join(lines)


# https://keras.io/api/applications: top-1 on the validation images of ILSVRC 2012, and MB.
OFFICIAL_FACTS = {
    "resnet50": (74.9, 98),
    "resnet101": (76.4, 171),
    "resnet152": (76.6, 232),
    "resnet50_v2": (76.0, 98),
    "resnet101_v2": (77.2, 171),
    "resnet152_v2": (78.0, 232),
}
# What keras.applications has of its own in networks with pre-activation.
V2_FIELDS = {"stride_block": "last", "stem_norm": False}


def list_weights(network: str | None = None) -> Offers:
    """Lists the weights that `weights=` takes by name, for all networks or for one.

    Args:
        network: a name in `keras_resnet.FAMILY`.

    Returns:
        A tuple of `Offer`s, which prints as a table; empty for a network without such weights.

    Raises:
        ValueError: for an unknown network.
        TypeError: for a network that is not a name.
    """
    if network is not None:
        family.spec(network)
    offers = [*map(_of_card, cards()), *map(_official, OFFICIAL_FACTS)]
    return Offers(offer for offer in offers if network in (None, offer.network))


def cards() -> tuple[Card, ...]:
    """Returns the cards of the files in this package, ordered by data set and network.

    Raises:
        ValueError: if a card is damaged.
    """
    found = []
    for file in sorted(SHIPPED.glob("*/*.json")):
        try:
            found.append(Card.from_json(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise ValueError(f"{file} is not the card of weights: {error}") from error
    return tuple(sorted(found, key=lambda card: (card.dataset, _order(card.network))))


def place(dataset: str, network: str) -> Path:
    """Returns the path of the file with the weights of a network, whether it exists or not."""
    return SHIPPED / dataset / f"{network}.weights.h5"


def shipped(name: str, network: str | None = None) -> Path | None:
    """Returns the file in this package that a name stands for.

    Args:
        name: "DATA_SET", or "DATA_SET/NETWORK".
        network: the network, if the name does not say it.

    Returns:
        The file; None if the text is no name of weights, but may be a path.

    Raises:
        ValueError: for a name that no weights have, and if the file is missing or damaged.
    """
    dataset, _, told = name.partition("/")
    if not WORD.fullmatch(dataset) or (told and not WORD.fullmatch(told)):
        return None
    found = {card.network: card for card in cards() if card.dataset == dataset}
    wanted = told or network
    if wanted in found:
        return _checked(found[wanted])
    path = told and told not in family.FAMILY  # some folder, and a file in it
    if not found and (path or Path(name).is_file()):
        return None
    raise ValueError(_of_others(name, wanted, list(found)) if found else _unknown(name))


def _checked(card: Card) -> Path:
    file = place(card.dataset, card.network)
    if not file.is_file() or digest(file) != card.sha256:
        raise ValueError(f"{file} is missing or damaged: install the package again")
    return file


def _of_others(name: str, network: str | None, networks: Sequence[str]) -> str:
    """Returns a message about weights of a data set that a network does not have."""
    dataset, *_ = name.split("/")
    there = f"weights={dataset!r} of this package exist for {', '.join(networks)}"
    if network is None:
        return f"{there}: give the network, too, such as '{dataset}/{networks[0]}'"
    near = difflib.get_close_matches(network, networks, 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{there}, not for {network}{hint}; a file of that name is './{name}'"


def _unknown(name: str) -> str:
    """Returns a message about a name that no weights have, with the names that there are."""
    known = list(dict.fromkeys(offer.weights for offer in list_weights()))
    near = difflib.get_close_matches(name.lower(), known, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return (
        f"no file {name!r}, and this version of the package has no weights of that name; names are"
        f" {', '.join(map(repr, known))}, see keras_resnet.list_weights(){hint}"
    )


def _order(network: str) -> int:
    """Returns the position of a network in the family, which goes from shallow to deep."""
    return list(family.FAMILY).index(network)


def _of_card(card: Card) -> Offer:
    megabytes = round(card.bytes / 1e6, 2)
    where = "in this package"
    return Offer(
        card.network, card.dataset, card.dataset, card.classes, card.top1, megabytes, where, {}
    )


def _official(network: str) -> Offer:
    top1, megabytes = OFFICIAL_FACTS[network]
    classes = family.PUBLISHED[network].classes
    fields = V2_FIELDS if family.FAMILY[network].preact else {}
    where = "keras.applications, downloaded once"
    return Offer(network, IMAGENET, "ILSVRC 2012", classes, top1, megabytes, where, fields)


def _row(offer: Offer) -> tuple[str, ...]:
    fields = ", ".join(f"{name}={value!r}" for name, value in offer.fields.items())
    return (
        offer.network,
        offer.weights,
        offer.dataset,
        str(offer.classes),
        f"{offer.top1:.4g} %",
        f"{offer.megabytes:g} MB",
        offer.where,
        fields,
    )
