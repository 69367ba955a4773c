"""What a file of weights says of itself: its network, and how images enter and leave it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from keras_resnet.preprocessing import Preprocessing


@dataclass(frozen=True)
class Manifest:
    """Travels inside `.weights.h5` and `.keras` files, and beside every export."""

    network: str
    image_shape: tuple[int, int, int]  # height, width, channels
    labels: tuple[str, ...]  # in the order of the logits
    preprocessing: Preprocessing
    fields: Mapping[str, Any] = field(default_factory=dict)  # of the spec that were changed
    training: Mapping[str, Any] = field(default_factory=dict)  # recipe, steps, accuracy

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Manifest":
        values = json.loads(text)
        values["preprocessing"] = Preprocessing(**values["preprocessing"])
        for name in ("image_shape", "labels"):
            values[name] = tuple(values[name])
        return cls(**values)
