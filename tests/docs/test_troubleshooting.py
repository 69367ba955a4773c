"""Every message that docs/troubleshooting.md quotes occurs in the source."""

import ast
import re
from collections.abc import Iterator
from functools import cache

from tests.support.helpers import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
MESSAGES = re.findall(r"^> `(.*)`$", PAGE, re.MULTILINE)
VALUE = "…"  # stands for what the code fills in


@cache
def known() -> frozenset[str]:
    return frozenset(map(squeezed, templates()))


def templates() -> Iterator[str]:
    """Yields the texts in the source, with `VALUE` for each field of an f-string."""
    for folder in ("keras_resnet", "train", "saved_models"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value
                elif isinstance(node, ast.JoinedStr):
                    yield "".join(map(part, node.values))


def part(node: ast.expr) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else VALUE


def squeezed(text: str) -> str:
    """Values that follow each other, or a value at an end, are what they are in other words."""
    return re.sub(f"(?:{VALUE})+", VALUE, text).strip(f"{VALUE} ")


def test_every_message_occurs_in_the_source():
    assert len(MESSAGES) >= 40
    assert len(set(MESSAGES)) == len(MESSAGES)
    missing = [
        message
        for message in MESSAGES
        if not any(squeezed(message) in text for text in known()) or len(squeezed(message)) < 10
    ]
    assert missing == []


def test_every_message_has_an_answer():
    parts = re.split(r"^> `.*`$", PAGE, flags=re.MULTILINE)[1:]
    answers = [part.split("\n## ")[0].strip() for part in parts]
    assert min(map(len, answers)) > 20


def test_the_check_sees_what_is_not_there():
    assert any("unknown network …; did" in text for text in known())
    assert not any("unknown network …; perhaps" in text for text in known())
