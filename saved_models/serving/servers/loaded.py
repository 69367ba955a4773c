"""An export in TensorFlow's Python: bytes of images in; classes out, or why they are refused."""

from pathlib import Path
from typing import Any

SIGNATURE, INPUT = "predict_bytes", "image_bytes"


class Refused(ValueError):
    """Something is wrong with the images of a request; the message says what."""


class Classifier:
    """Calls one signature of a SavedModel; may be used by several threads.

    `outputs` are the names of what it returns: classes, labels, and probabilities or logits.

    Raises:
        ValueError: if the directory has no such signature.
    """

    def __init__(self, directory: Path) -> None:
        import tensorflow as tf

        self._tensorflow = tf
        # Kept, as a signature alone does not keep its variables alive.
        self._model = tf.saved_model.load(str(directory))
        if SIGNATURE not in self._model.signatures:
            raise ValueError(f"{directory} has no {SIGNATURE}, only {list(self._model.signatures)}")
        self._run = self._model.signatures[SIGNATURE]
        # The last one is `probabilities`, or `logits` of a network that has none.
        scores = sorted(set(self._run.structured_outputs) - {"classes", "labels"})
        self.outputs = ("classes", "labels", *scores)

    def __call__(self, images: list[bytes]) -> dict[str, Any]:
        """Returns what `outputs` names, each [batch, k], best first.

        Raises:
            Refused: for a batch that the model does not take, with the words of the model.
        """
        tf = self._tensorflow
        try:
            outputs = self._run(**{INPUT: tf.constant(images, tf.string, shape=[len(images)])})
        except tf.errors.InvalidArgumentError as error:
            raise Refused(_reason(error.message)) from error
        return {name: outputs[name].numpy() for name in self.outputs}


def _reason(message: str) -> str:
    """Keeps the sentence of an operation, without where in the graph it was said."""
    sentence = message.partition("\n\t [[")[0].rpartition("\n")[2]
    return sentence.removeprefix("assertion failed: [").removesuffix("]")
