"""The text files of an export, and write errors that name the file."""

import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf

from keras_resnet.preprocessing.decoding import errors

__all__ = ["lines", "printable", "write_text", "writing"]

CONTROLS = {"Cc", "Zl", "Zp"}  # categories of characters that some reader takes for a line's end


def printable(text: str) -> str:
    """Escapes lone surrogates: names of files that are not UTF-8 have them, UTF-8 cannot."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def lines(labels: Iterable[str]) -> str:
    r"""Returns one line per label; a line break inside a label is written as `\n`."""
    return "".join(f"{''.join(map(_escaped, printable(label)))}\n" for label in labels)


def write_text(path: Path, text: str) -> None:
    """Writes a text file in UTF-8, whatever the locale."""
    with writing(path):
        path.write_text(printable(text), encoding="utf-8", newline="\n")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns the errors that libraries raise on a full disk into one OSError that names the file."""
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
