"""The signature `explain` of an export: its best classes for an image, and the evidence for each.

It needs TensorFlow only.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SIGNATURE = "explain"


class Refused(Exception):
    """The network refuses an image; the message is a sentence that says why."""


@dataclass(frozen=True)
class Explanation:
    """The best classes of one image, best first, and the evidence for each."""

    labels: list[str]
    scores: np.ndarray  # float32 [k]
    probable: bool  # whether scores are probabilities; they are logits otherwise
    maps: np.ndarray  # float32 [k, h, w] of 0..1, over the crop
    crop: np.ndarray  # uint8 [height, width, channels]: what the network saw of the image


class Network:
    """A loaded export.

    Args:
        directory: NAME/VERSION, with `saved_model.pb` and `model.json` in it.

    Raises:
        ValueError: if it is not an export, or an export without the signature `explain`.
    """

    def __init__(self, directory: Path) -> None:
        for name in ("saved_model.pb", "model.json"):
            if not (directory / name).is_file():
                raise ValueError(f"{directory} is not an export: it has no {name}")
        import tensorflow as tf

        self.about: dict[str, Any] = json.loads((directory / "model.json").read_text("utf-8"))
        self._loaded = tf.saved_model.load(str(directory))
        if SIGNATURE not in self._loaded.signatures:
            raise ValueError(
                f"{directory} has no signature {SIGNATURE!r} but {sorted(self._loaded.signatures)};"
                " export it again, for images of 1, 3 or 4 channels"
            )

    def explain(self, image: bytes) -> Explanation:
        """Classifies one encoded image.

        Raises:
            Refused: if the network does not take it.
        """
        import tensorflow as tf

        try:
            found = self._loaded.signatures[SIGNATURE](image_bytes=tf.constant([image]))
        except tf.errors.OpError as error:
            raise Refused(reason(error.message)) from error
        first = {name: value[0].numpy() for name, value in found.items()}
        labels = [label.decode() for label in first["labels"]]
        probable = "probabilities" in first
        scores = first["probabilities" if probable else "logits"]
        return Explanation(labels, scores, probable, first["maps"], first["images"])


def reason(message: str) -> str:
    """Turns a message of TensorFlow into a sentence for people."""
    told = re.search(r"assertion failed: \[(.*?)\]", message, re.DOTALL)
    if not told:
        return "This image cannot be read: the file is damaged or incomplete."
    # Exports of version 0.1 say "hold no".
    text = re.sub("image_bytes (are not|hold no)", "this file is not", told[1])
    text = text.replace("an image", "this image")
    return f"{text[:1].upper()}{text[1:]}."
