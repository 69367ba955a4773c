"""An export that TensorFlow's Python runs: encoded images in, classes or a refusal out."""

from pathlib import Path
from typing import Any

SIGNATURE = "predict_bytes"
INPUT = "image_bytes"


class Refused(ValueError):
    """The images of a request are invalid; the message says why."""


class Classifier:
    """Runs the signature `predict_bytes` of a SavedModel; may be used by several threads.

    `outputs` are the names of what it returns: classes, labels, and probabilities or logits.

    Args:
        directory: of the export.

    Raises:
        ValueError: if the export has no such signature.
        OSError: if there is no SavedModel.
    """

    def __init__(self, directory: Path) -> None:
        import tensorflow as tf

        self._tensorflow = tf
        # Kept, because a signature alone does not keep its variables alive.
        self._model = tf.saved_model.load(str(directory))
        if SIGNATURE not in self._model.signatures:
            raise ValueError(f"{directory} has no {SIGNATURE}, only {list(self._model.signatures)}")
        self._run = self._model.signatures[SIGNATURE]
        # The scores are `probabilities`, or `logits` if the network has none.
        scores = sorted(set(self._run.structured_outputs) - {"classes", "labels"})
        self.outputs = ("classes", "labels", *scores)

    def __call__(self, images: list[bytes]) -> dict[str, Any]:
        """Classifies encoded images; returns the arrays of `outputs`, each [batch, k], best first.

        Raises:
            Refused: if the model refuses the images, with its message.
        """
        tf = self._tensorflow
        try:
            outputs = self._run(**{INPUT: tf.constant(images, tf.string, shape=[len(images)])})
        except tf.errors.InvalidArgumentError as error:
            raise Refused(_reason(error.message)) from error
        return {name: outputs[name].numpy() for name in self.outputs}


def _reason(message: str) -> str:
    """Returns an operation's message without its place in the graph."""
    sentence = message.partition("\n\t [[")[0].rpartition("\n")[2]
    return sentence.removeprefix("assertion failed: [").removesuffix("]")
