"""The names in docs/migrating.md exist: ours, and those of libraries of the test environment."""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import pytest
import timm

import keras_resnet
from docs import family
from keras_resnet import specs
from keras_resnet.network import ResidualNetwork
from keras_resnet.weights import SOURCES
from tests.support.helpers import ROOT

PAGE = (ROOT / "docs" / "migrating.md").read_text(encoding="utf-8")
KERAS_HUB, OTHER = "keras_hub", "the other keras_resnet"
# Whose mapping of names reads weights of the library.
READERS = {"keras.applications": "keras_applications", "torchvision": "torchvision"}


class Row(NamedTuple):
    library: str  # the title of the table's first column
    theirs: str
    ours: str


def rows() -> Iterator[Row]:
    library = ""
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            library = ""
        elif not library:
            library = cells[0]
        elif not cells[0].startswith("---"):
            theirs, ours = (re.fullmatch("`(.*)`", cell) for cell in cells)
            assert theirs, line
            assert ours, line
            yield Row(library, theirs[1], ours[1])


ROWS = list(rows())
CALLS = [row for row in ROWS if "layer" not in row.library and "argument" not in row.library]


def found(node: ast.expr) -> Any:
    """Returns what a dotted name stands for."""
    if isinstance(node, ast.Attribute):
        parent = found(node.value)
        name = f"{getattr(parent, '__name__', '')}.{node.attr}"
        if inspect.ismodule(parent) and not hasattr(parent, node.attr):
            return importlib.import_module(name)
        return getattr(parent, node.attr)
    assert isinstance(node, ast.Name)
    return importlib.import_module(node.id)


def check(text: str) -> None:
    """Checks that the names exist, and that a call has arguments that the function takes."""
    call = ast.parse(text, mode="eval").body
    if not isinstance(call, ast.Call):
        found(call)
        return
    function = found(call.func)
    named = {word.arg: word.value for word in call.keywords}
    inspect.signature(function).bind(*call.args, **named)
    if getattr(function, "__module__", "") == "keras_resnet.models.builders":
        assert set(named) <= set(inspect.signature(function).parameters), text


def test_the_page_has_a_table_for_each_library():
    libraries = {row.library for row in ROWS}
    assert libraries >= {"keras.applications", "torchvision", "timm", KERAS_HUB, OTHER}
    assert len(ROWS) > 70


@pytest.mark.parametrize("row", CALLS, ids=str)
def test_our_names_exist(row):
    if row.ours.startswith("model."):
        assert hasattr(ResidualNetwork, row.ours.removeprefix("model."))
    else:
        check(row.ours)


@pytest.mark.parametrize("library", ["keras.applications", "torchvision"])
def test_their_names_exist(library):
    texts = [row.theirs for row in CALLS if row.library == library]
    assert texts
    for text in texts:
        check(text)


def test_names_of_timm_exist():
    texts = [row.theirs for row in CALLS if row.library == "timm"]
    known = {
        *inspect.signature(timm.models.resnet.ResNet).parameters,
        "features_only",
        "pretrained",
    }
    for text in texts:
        check(text)
        call = ast.parse(text, mode="eval").body
        if isinstance(call, ast.Call):
            assert timm.is_model(ast.literal_eval(call.args[0]).partition(".")[0]), text
            assert {word.arg for word in call.keywords} <= known, text


def test_timm_has_the_weights_that_the_family_shows():
    for name in family.PROJECTS["timm"]:
        theirs = name.replace("_v1_5", "").replace("_d", "d")
        assert timm.models.is_model_pretrained(theirs), theirs


def test_arguments_of_keras_hub_are_fields():
    for row in ROWS:
        if row.library.startswith("argument"):
            field, _, value = row.ours.partition("=")
            assert field in specs.FIELDS
            if value.startswith("keras_resnet."):
                check(value)


@pytest.fixture(scope="module")
def layers() -> set[str]:
    model = keras_resnet.ResNet50(repeats=[3, 1, 1, 3])
    return {layer.name for layer in model.layers}


def test_layers_have_these_names(layers):
    ours = {row.ours for row in ROWS if "layer" in row.library}
    assert len(ours) > 8
    assert ours <= layers
    assert "stage1_block3_relu" in layers  # that the page names outside of its tables


@pytest.mark.parametrize("library", READERS)
def test_layers_are_those_that_the_weights_go_to(library):
    source = SOURCES[READERS[library]]
    pairs = [(row.theirs, row.ours) for row in ROWS if row.library == f"layer of {library}"]
    assert len(pairs) >= 6
    separator = "/" if library == "keras.applications" else "."
    for theirs, ours in pairs:
        [renamed] = {
            name.partition("/")[0]
            for kind in ("kernel", "gamma", "weight")
            for name in source.rename([f"{theirs}{separator}{kind}"]).values()
        }
        assert renamed == ours


def test_keras_applications_takes_the_same_arguments_in_the_same_order():
    theirs = list(inspect.signature(keras.applications.ResNet50).parameters)
    ours = list(inspect.signature(keras_resnet.ResNet50).parameters)
    assert ours[: len(theirs)] == theirs
