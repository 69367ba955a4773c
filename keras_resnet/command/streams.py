"""What goes where: answers to stdout, all else to stderr, unless both are one terminal."""

import contextlib
import sys
from contextlib import AbstractContextManager

from keras_resnet import console
from keras_resnet.console import noise

__all__ = ["aside", "import_keras"]


def aside() -> AbstractContextManager[object]:
    """Sends what is printed to stderr, unless stdout is a terminal: a pipe gets answers only."""
    if sys.stdout.isatty():
        return contextlib.nullcontext()
    return contextlib.redirect_stdout(sys.stderr)


def import_keras(name: str) -> None:
    """Imports Keras and TensorFlow, or ends the process with one line that says what is missing.

    Args:
        name: of the command, for this line.
    """
    if "tensorflow" not in sys.modules:
        noise.hide()
    with aside():
        console.check(name)
