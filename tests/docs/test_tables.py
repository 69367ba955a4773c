"""The pages about the family and the recipes are those of the code, and their numbers are right."""

import re

import keras_resnet
from docs import family as page, recipes, tables
from keras_resnet import family
from keras_resnet.weights import SOURCES
from train.recipes.table import RECIPES


def test_the_pages_are_those_of_the_code():
    assert tables.main("--check") == 0, "write them again: python -m docs.tables"


def test_every_network_has_a_row():
    text = tables.FOLDER.joinpath("family.md").read_text(encoding="utf-8")
    assert all(text.count(f"\n| `{name}` |") == 1 for name in family.FAMILY)


def test_errors_are_those_of_the_papers():
    """arXiv:1512.03385, Tables 2, 3 and 6; arXiv:1603.05027, Tables 2 and 4."""
    found = {name: page.error(name) for name in family.FAMILY}
    assert found["resnet18"] == "27.88 (ten crops, option A)"
    assert found["resnet34"] == "24.52 (ten crops)"
    assert found["plain34"] == "28.54 (ten crops)"
    assert found["resnet20"] == "8.75"
    assert found["resnet110_v2"] == "6.37"
    assert found["resnet1001_v2"] == "4.92"
    assert found["resnet200"] == ""


def test_projects_are_sources_and_networks_those_of_the_family():
    assert page.PROJECTS.keys() < SOURCES.keys()
    assert {name for names in page.PROJECTS.values() for name in names} <= family.FAMILY.keys()


def test_the_code_of_the_family_runs():
    [block] = re.findall("```python\n(.*?)```", page.HEAD, re.DOTALL)
    first, second = block.splitlines()
    names = {"keras_resnet": keras_resnet}
    exec(first, names)
    assert names["model"].spec == family.FAMILY["resnet50_v1_5"]
    exec(second, names)
    assert names["model"].spec.output_stride == 16


def test_every_recipe_has_a_row():
    text = recipes.page()
    assert all(text.count(f"\n| `{name}` |") == 1 for name in RECIPES)
