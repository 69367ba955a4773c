"""What TensorFlow's errors say: the one place that reads their texts."""

import re

import tensorflow as tf


def message(error: Exception) -> str:
    """Returns what went wrong in one line, without what TensorFlow adds around it."""
    if not isinstance(error, tf.errors.OpError):
        return (str(error) or repr(error)).splitlines()[0]
    text = reason(error.message or repr(error))
    return f"a file of records is damaged: {text}" if damaged(error) else text


def reason(text: str) -> str:
    """Returns the line of an error's text that says what is wrong.

    An eager operation writes its name in front in {{}}, and " [Op:" behind. A graph writes its
    nodes in [[]], and where they come from in lines before. The text of a failed assertion is in
    brackets in a graph, and in quotes without one.
    """
    if found := re.search(r"assertion failed: \[(.*?)\]|Summarized data: b'(.*?)'", text):
        return found[1] or found[2]
    lines = [line.strip() for line in text.splitlines() if line.strip() and "[[" not in line]
    line = (lines or [text])[-1 if text.startswith("Graph execution error") else 0]
    return line.split("}} ")[-1].split(" [Op:")[0]


def damaged(error: Exception) -> bool:
    """Whether a file of records is cut short, or its checksums are wrong."""
    return isinstance(error, tf.errors.DataLossError) or "dataset was expected" in str(error)


def out_of_memory(error: Exception) -> str:
    """Returns the line that says so if memory ran out, and "" for any other error."""
    text = error.message if isinstance(error, tf.errors.OpError) else ""
    found = re.search(r"OOM when allocating [^\n]*|Out of memory[^\n]*", text or "")
    return found[0] if found else ""
