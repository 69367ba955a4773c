"""The picture of the architecture is that of the code, and the page names files that exist."""

import html
import re

from docs import architecture
from tests.support.helpers import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_the_picture_shows_the_arrows_of_today() -> None:
    titles = re.findall("<title>(.*?)</title>", architecture.PICTURE.read_text(encoding="utf-8"))
    drawn = {html.unescape(title) for title in titles if "->" in html.unescape(title)}
    graph = architecture.reduced(architecture.arrows())
    expected = {f"{room}->{target}" for room, targets in graph.items() for target in targets}
    assert len(expected) > 20
    assert drawn == expected, "draw it again: python docs/architecture.py"


def test_the_picture_shows_every_room() -> None:
    titles = re.findall("<title>(.*?)</title>", architecture.PICTURE.read_text(encoding="utf-8"))
    for house in architecture.HOUSES:
        for room in architecture.rooms(house):
            assert f"{house}/{room}" in titles


def test_no_room_imports_itself_by_way_of_others() -> None:
    assert not architecture.circles(architecture.arrows())
    assert architecture.circles({"a": {"b"}, "b": {"a"}, "c": {"a"}}) == ["a", "b"]


def test_the_page_names_what_exists() -> None:
    named = set(re.findall(r"`((?:keras_resnet|train|saved_models|docs|tests)/[\w./]*)`", PAGE))
    planned = {"keras_resnet/dense/", "train/tasks/detection.py"}
    assert len(named) > 20
    assert {name for name in named if not (ROOT / name).exists()} == planned
