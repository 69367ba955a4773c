"""What a network says of its weights: what they are, and how images enter and leave it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from keras_resnet.preprocessing import Preprocessing

ENTRY = "keras_resnet.json"  # where `.weights.h5` files keep it


@dataclass(frozen=True)
class Manifest:
    """Travels with a model, inside `.weights.h5` and `.keras` files, and beside every export."""

    network: str
    image_shape: tuple[int, int, int]  # height, width, channels
    labels: tuple[str, ...]  # in the order of the logits
    preprocessing: Preprocessing
    fields: Mapping[str, Any] = field(default_factory=dict)  # of the spec that were changed
    training: Mapping[str, Any] = field(default_factory=dict)  # recipe, steps, accuracy
    source: Mapping[str, str] = field(default_factory=dict)  # others' weights: who, file, sha256
    quantized: str = ""  # "int8" for the weights of `keras_resnet.quantization.quantized`

    def __post_init__(self) -> None:
        if not isinstance(self.network, str):
            raise ValueError(f"network must be a name, got {self.network!r}")
        if not isinstance(self.image_shape, tuple) or not _are(self.image_shape, int, 3):
            raise ValueError(f"image_shape must be three sizes, got {self.image_shape!r}")
        if not isinstance(self.labels, tuple) or not _are(self.labels, str):
            raise ValueError("labels must be names")
        if self.quantized not in ("", "int8"):
            raise ValueError(f"quantized must be '' or 'int8', got {self.quantized!r}")
        # As JSON gives them back: without the types of tuples.
        object.__setattr__(self, "fields", json.loads(json.dumps(dict(self.fields))))

    def to_dict(self) -> dict[str, Any]:
        return json.loads(self.to_json())

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Manifest":
        return cls.from_dict(json.loads(text))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Manifest":
        values = {**values, "preprocessing": Preprocessing(**values["preprocessing"])}
        for name in ("image_shape", "labels"):
            if isinstance(values[name], list):
                values[name] = tuple(values[name])
        return cls(**values)


def _are(values: tuple[Any, ...], kind: type, count: int | None = None) -> bool:
    return count in (None, len(values)) and all(type(value) is kind for value in values)
