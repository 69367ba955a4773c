"""Parses the texts of TensorFlow's errors; no other module does."""

import re

import tensorflow as tf

__all__ = ["damaged", "message", "out_of_memory", "reason"]


def message(error: Exception) -> str:
    """Returns the cause of an error in one line, without the additions of TensorFlow."""
    if not isinstance(error, tf.errors.OpError):
        return (str(error) or repr(error)).splitlines()[0]
    text = reason(error.message or repr(error))
    return f"a file of records is damaged: {text}" if damaged(error) else text


def reason(text: str) -> str:
    """Returns the line of an error's text that states the cause.

    An eager operation writes its name before it in {{}}, and " [Op:" after it. A graph writes nodes
    in [[]], and their origin in the lines before. The text of a failed assertion is in brackets in
    a graph, and in quotes in eager mode.
    """
    if found := re.search(r"assertion failed: \[(.*?)\]|Summarized data: b'(.*?)'", text):
        return found[1] or found[2]
    lines = [line.strip() for line in text.splitlines() if line.strip() and "[[" not in line]
    line = (lines or [text])[-1 if text.startswith("Graph execution error") else 0]
    return line.split("}} ")[-1].split(" [Op:")[0]


def damaged(error: Exception) -> bool:
    """Whether an error is a truncated file of records, or a wrong checksum."""
    return isinstance(error, tf.errors.DataLossError) or "dataset was expected" in str(error)


def out_of_memory(error: Exception) -> str:
    """Returns the line of an error that says that memory ran out; "" for another error."""
    text = error.message if isinstance(error, tf.errors.OpError) else ""
    found = re.search(r"OOM when allocating [^\n]*|Out of memory[^\n]*", text or "")
    return found[0] if found else ""
