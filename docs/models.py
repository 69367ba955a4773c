"""Writes the cards of the weights in this package for people: `python -m docs.models`."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from keras_resnet.weights.catalogue import Card, cards

PAGE = Path(__file__).with_suffix(".md")
HEAD = """# Networks that this package trained

Their weights are part of the package and load without a network connection. They are for the
classes of their data set only: an image of anything else gets one of these classes, too.

`python -m docs.models` writes this page from the cards in `keras_resnet/weights/shipped/`.
`python -m train.lab.ship` writes weights and card from a finished run, and measures the written
file on all test images. `keras_resnet.list_weights()` lists all weights that have a name.
"""
NONE = "This version contains none yet."


def page(found: Sequence[Card]) -> str:
    """Returns the page in Markdown."""
    sections = [_overview(found), *map(_section, found)] if found else [NONE]
    return "\n".join([HEAD, *sections]).rstrip() + "\n"


def _overview(found: Iterable[Card]) -> str:
    head = ("network", "data set", "test error", "published", "file")
    rows = [
        (card.network, card.dataset, f"{_error(card.top1)} %", card.published, _size(card))
        for card in found
    ]
    return _table(head, rows)


def _section(card: Card) -> str:
    call = f'keras_resnet.resnet("{card.network}", weights="{card.dataset}")'
    changes = ", ".join(f"`{name}={value!r}`" for name, value in card.changes.items())
    facts = [
        ("classes", str(card.classes)),
        ("recipe", f"`{card.recipe}`; changed: {changes or 'nothing'}"),
        ("trained by", f"`{card.command}`"),
        ("steps, seed", f"{card.steps:,}, {card.seed}"),
        *(_start(start) for start in card.starts),
        ("file", f"{_size(card)}, kernels in {card.kernels}, SHA-256 `{card.sha256}`"),
    ]
    accuracy = [
        (row["protocol"], f"{row['images']:,} ({row['split']})", f"{row['top1']:.2f} %")
        for row in card.accuracy
    ]
    curve = [(f"{step:,}", f"{first:.2f}", f"{second:.2f}") for step, first, second in card.curve]
    return "\n".join(
        [
            f"## {card.name}",
            f"```python\nmodel = {call}\n```",
            _table(("fact", "value"), facts),
            _table(("accuracy, one view of each image", "images", "top-1"), accuracy),
            _table(("step", "training error (%)", f"{card.curve_split} error (%)"), curve),
        ]
    )


def _start(start: dict[str, Any]) -> tuple[str, str]:
    code = f"commit `{start['commit']}`" + ", with changed files" * start["changed"]
    return (
        f"from step {start['after_step']:,}",
        "; ".join(filter(None, (code, start["precision"], start["hardware"], start["date"]))),
    )


def _error(top1: float) -> str:
    return f"{100 - top1:.2f}"


def _size(card: Card) -> str:
    return f"{card.bytes / 1e6:.2f} MB"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    PAGE.write_text(page(cards()), encoding="utf-8")
    print(PAGE.name)


if __name__ == "__main__":
    main()
