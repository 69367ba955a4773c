"""The pages about the family and the recipes are those of the code, and their numbers are right."""

import re

import pytest

import keras_resnet
from docs import family as page, recipes, tables
from keras_resnet import family
from keras_resnet.weights import SOURCES
from train.recipes.table import RECIPES

# A small network for each way in which the counts differ.
COUNTED = (
    "resnet18",
    "resnet50",
    "resnet50_v1_5",
    "resnet18_v2",
    "resnet50_v2",
    "resnet50_d",
    "wide_resnet50_2",
    "plain18",
    "resnet20",
    "resnet164_v2",
)


def test_the_pages_are_those_of_the_code():
    assert tables.main("--check") == 0, "write them again: python -m docs.tables"


@pytest.mark.parametrize("name", COUNTED)
def test_counts_are_those_of_the_network(name):
    fields = {"repeats": (2, 1)}
    model = keras_resnet.resnet(name, classes=7, **fields)
    built = keras_resnet.cost(model, (64, 64))
    counted = page.count(family.spec(name, **fields), 64, 7)
    assert counted == (built.parameters, built.multiply_adds)


def test_the_paper_prints_these_numbers():
    """arXiv:1512.03385, Table 1 in multiply-adds, Table 6 in parameters."""
    billions = {18: 1.8, 34: 3.6, 50: 3.8, 101: 7.6, 152: 11.3}
    for depth, wanted in billions.items():
        counted = page.count(family.FAMILY[f"resnet{depth}"], 224, 1000)
        assert abs(counted.multiply_adds / 1e9 - wanted) < 0.07
    for depth, wanted in {20: 0.27, 32: 0.46, 44: 0.66, 56: 0.85, 110: 1.7, 1202: 19.4}.items():
        counted = page.count(family.FAMILY[f"resnet{depth}"], 32, 10)
        assert round(counted.parameters / 1e6, 1 if depth > 100 else 2) == wanted


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
