"""What a network says of its weights: what they are, and how images enter and leave it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from keras_resnet import family
from keras_resnet.preprocessing import Preprocessing
from keras_resnet.specs import RETIRED, Spec

__all__ = ["ACTIVATIONS", "ENTRY", "NONE", "SIGMOID", "SOFTMAX", "Manifest"]

ENTRY = "keras_resnet.json"  # where `.weights.h5` files keep it
SOFTMAX, SIGMOID, NONE = "softmax", "sigmoid", "none"
ACTIVATIONS = (SOFTMAX, SIGMOID, NONE)  # what can follow the logits


@dataclass(frozen=True)
class Manifest:
    """Travels with a model, inside `.weights.h5` and `.keras` files, and beside every export.

    `activation` is what follows the logits: "softmax" for one choice among the labels, "sigmoid"
    for a yes or no to each label, "none" where the logits themselves are the answer. None means
    that it is unknown; files of version 0.1 never say it, and mean softmax. `preprocessing` is None
    if it is unknown; only then height and width may be 0, which means unknown.
    `assumed` lists facts that neither file nor user states, each with the convention that it
    follows.
    """

    network: str
    image_shape: tuple[int, int, int]  # height, width, channels
    labels: tuple[str, ...]  # in the order of the logits
    preprocessing: Preprocessing | None
    fields: Mapping[str, Any] = field(default_factory=dict)  # of the spec that were changed
    training: Mapping[str, Any] = field(default_factory=dict)  # recipe, steps, accuracy
    source: Mapping[str, str] = field(default_factory=dict)  # others' weights: who, file, sha256
    quantized: str = ""  # "int8" for the weights of `keras_resnet.rewrite.int8.quantized`
    activation: str | None = None
    assumed: Mapping[str, str] = field(default_factory=dict)  # fact: whose convention it is

    def __post_init__(self) -> None:
        if not isinstance(self.network, str):
            raise ValueError(f"network must be a name, got {self.network!r}")
        shape = self.image_shape
        if not isinstance(shape, tuple) or not _are(shape, int, 3):
            raise ValueError(f"image_shape must be three sizes, got {shape!r}")
        if min(shape) < (1 if self.preprocessing else 0) or shape[2] < 1:
            raise ValueError(f"image_shape must hold positive sizes, got {shape!r}")
        if not isinstance(self.labels, tuple) or not _are(self.labels, str):
            raise ValueError("labels must be names")
        if self.quantized not in ("", "int8"):
            raise ValueError(f"quantized must be '' or 'int8', got {self.quantized!r}")
        if self.activation not in (*ACTIVATIONS, None):
            raise ValueError(
                f"activation must be one of {list(ACTIVATIONS)} or None, got {self.activation!r}"
            )
        # As JSON gives them back: without the types of tuples.
        object.__setattr__(self, "fields", json.loads(json.dumps(dict(self.fields))))

    @property
    def spec(self) -> Spec:
        """The architecture: the network of that name, with the changed fields.

        Raises:
            ValueError, TypeError: for a name or a field that does not exist.
        """
        return family.spec(self.network, **self.fields)

    def known_preprocessing(self) -> Preprocessing:
        """Returns the preprocessing where it has to be known.

        Raises:
            ValueError: if neither the weights nor their user say it.
        """
        if self.preprocessing is None:
            raise ValueError(
                f"the preprocessing of these weights of {self.network} is not known: give"
                " --preprocessing, or --mean and --std; in Python, from_weights(preprocessing=...)"
            )
        return self.preprocessing

    def to_dict(self) -> dict[str, Any]:
        return json.loads(self.to_json())

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Manifest":
        return cls.from_dict(json.loads(text))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Manifest":
        preprocessing = values["preprocessing"]
        fields = values.get("fields", {})
        values = {
            **values,
            "preprocessing": preprocessing and Preprocessing(**preprocessing),
            "fields": {name: value for name, value in fields.items() if name not in RETIRED},
        }
        for name in ("image_shape", "labels"):
            if isinstance(values[name], list):
                values[name] = tuple(values[name])
        return cls(**values)


def _are(values: tuple[Any, ...], kind: type, count: int | None = None) -> bool:
    return count in (None, len(values)) and all(type(value) is kind for value in values)
