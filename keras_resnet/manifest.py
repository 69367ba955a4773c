"""The manifest of a network: what its weights are, and how images are mapped to labels."""

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
    """Describes weights; stored in `.weights.h5` and `.keras` files, and beside every export.

    `activation` follows the logits: "softmax" if exactly one label applies, "sigmoid" if each label
    applies or not, "none" if the logits are the output. None means unknown; in files of version
    0.1, which do not store it, it is softmax. `preprocessing` is None if it is unknown. Only then
    height and width may be 0, which means unknown. `assumed` maps facts that neither file nor user
    states to the source whose convention was followed.

    Raises:
        ValueError: for a value of a wrong type, a size that is not positive, or a `quantized` or
            `activation` that is not allowed.
    """

    network: str
    image_shape: tuple[int, int, int]  # height, width, channels
    labels: tuple[str, ...]  # in the order of the logits
    preprocessing: Preprocessing | None
    fields: Mapping[str, Any] = field(default_factory=dict)  # of the spec, if they differ
    training: Mapping[str, Any] = field(default_factory=dict)  # recipe, steps, accuracy
    source: Mapping[str, str] = field(default_factory=dict)  # name, file, sha256 of foreign weights
    quantized: str = ""  # "int8" for the weights of `keras_resnet.rewrite.int8.quantized`
    activation: str | None = None
    assumed: Mapping[str, str] = field(default_factory=dict)  # fact: source of the convention

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
        # As JSON returns them, with lists in place of tuples.
        object.__setattr__(self, "fields", json.loads(json.dumps(dict(self.fields))))

    @property
    def spec(self) -> Spec:
        """The architecture: the network of that name, with the changed fields.

        Raises:
            ValueError, TypeError: for an unknown name or field.
        """
        return family.spec(self.network, **self.fields)

    def known_preprocessing(self) -> Preprocessing:
        """Returns the preprocessing.

        Raises:
            ValueError: if it is unknown.
        """
        if self.preprocessing is None:
            raise ValueError(
                f"the preprocessing of these weights of {self.network} is unknown: give"
                " --preprocessing, or --mean and --std; in Python, from_weights(preprocessing=...)"
            )
        return self.preprocessing

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON has them: strings, numbers, lists and dictionaries."""
        return json.loads(self.to_json())

    def to_json(self) -> str:
        """Returns the manifest as JSON, on one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Manifest":
        """Returns the manifest of a text from `to_json`, also of earlier versions.

        Raises:
            ValueError, TypeError, KeyError: for invalid JSON, and as `from_dict`.
        """
        return cls.from_dict(json.loads(text))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Manifest":
        """Returns the manifest of a dictionary from `to_dict`, also of earlier versions.

        Raises:
            ValueError, TypeError, KeyError: for missing, unknown or invalid fields.
        """
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
