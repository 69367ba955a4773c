"""Text files of an export, and errors of writing that name the file."""

import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf

from keras_resnet.preprocessing.decoding import errors

CONTROLS = {"Cc", "Zl", "Zp"}  # every character that some reader takes for the end of a line


def printable(text: str) -> str:
    """Escapes lone surrogates, which file names that are not UTF-8 have, and UTF-8 has not."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def lines(labels: Iterable[str]) -> str:
    r"""Returns a line for each label; a line break in a label is written as `\n`."""
    return "".join(f"{''.join(map(_escaped, printable(label)))}\n" for label in labels)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 in every locale."""
    with writing(path):
        path.write_text(printable(text), encoding="utf-8", newline="\n")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Makes one OSError, which names the file, of what a full disk raises in any library."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f"cannot write {error.filename or path}: {reason}") from error
    except tf.errors.OpError as error:
        raise OSError(f"cannot write {path}: {errors.message(error)}") from error


def _escaped(character: str) -> str:
    if unicodedata.category(character) not in CONTROLS:
        return character
    return character.encode("unicode_escape").decode()
