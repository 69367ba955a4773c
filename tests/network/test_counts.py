"""Costs counted from specs are those of networks that are built, and those of the papers."""

import pytest

from keras_resnet import counts, family, resnet
from keras_resnet.analysis.cost import cost
from keras_resnet.command import cost as command, listing
from train.recipes.table import RECIPES
from train.tasks.protocols import ONE_CROP, TEN_CROP

FIELDS = {
    "A": ("resnet18", {"shortcut": "A", "repeats": [2, 1]}),
    "C": ("resnet18", {"shortcut": "C", "repeats": [2, 1]}),
    "D": ("resnet50_d", {"repeats": [1, 2]}),
    "plain": ("plain50", {"repeats": [1, 2]}),
    "wide": ("wide_resnet50_2", {"repeats": [1, 1]}),
    "v2": ("resnet50_v2", {"repeats": [2, 1]}),
    "v2 of keras.applications": (
        "resnet50_v2",
        {"repeats": [2, 2], "stride_block": "last", "stem_norm": False},
    ),
    "dilated": ("resnet50_v1_5", {"repeats": [1, 1, 1], "output_stride": 8, "padding": "same"}),
    "Caffe": ("resnet50", {"repeats": [1, 1], "stem_pool": "ceil"}),
    "CIFAR": ("resnet20_v2", {"repeats": [1, 1, 1], "shortcut": "B"}),
}


@pytest.mark.parametrize("name", FIELDS)
def test_a_spec_costs_what_its_network_costs(name):
    network, fields = FIELDS[name]
    shape = (33, 46, 3)
    built = cost(resnet(network, classes=7, **fields), shape)
    found = counts.total(family.spec(network, **fields), shape, 7)
    assert found == (built.parameters, built.multiply_adds)


# arXiv:1512.03385: FLOPs of Table 1 in 1e9, and parameters of Table 6; parameters of torchvision.
FLOPS = {"resnet18": 1.8, "resnet34": 3.6, "resnet50": 3.8, "resnet101": 7.6, "resnet152": 11.3}
TABLE_6 = {20: 0.27, 32: 0.46, 44: 0.66, 56: 0.85, 110: 1.7, 1202: 19.4}
TORCHVISION = {"resnet18": 11_689_512, "resnet50": 25_557_032, "wide_resnet50_2": 68_883_240}


def total(name: str) -> tuple[int, int]:
    size, classes = family.PUBLISHED[name]
    return counts.total(family.FAMILY[name], (size, size, 3), classes)


def test_costs_are_those_of_the_paper():
    assert {name: total(name)[0] for name in TORCHVISION} == TORCHVISION
    for name, billions in FLOPS.items():
        assert total(name)[1] / 1e9 == pytest.approx(billions, abs=0.07)
    for depth, millions in TABLE_6.items():
        parameters, _ = total(f"resnet{depth}")
        assert round(parameters / 1e6, 1 if depth > 100 else 2) == millions


def test_the_table_has_every_network_and_fits_a_terminal():
    titles, *rows, note = listing.table()
    assert max(map(len, [titles, *rows, note])) <= 80
    assert {row.split()[0] for row in rows} == set(family.FAMILY)
    assert len(rows) == len(family.FAMILY)
    (row,) = listing.table("resnet34_d")[1:]
    assert row.split() == ["resnet34_d", "21.82", "M", "3.90", "G"]


def test_published_errors_are_those_that_recipes_expect():
    compared = 0
    for name, found in family.ERRORS.items():
        options = {found.shortcut or family.FAMILY[name].shortcut}
        expected = [
            (each.protocol, round(100 - each.top1, 2))
            for recipe in RECIPES.values()
            if recipe.network == name and recipe.dataset in ("cifar10", "imagenet2012")
            if {recipe.fields.get("shortcut", family.FAMILY[name].shortcut)} == options
            for each in recipe.expected
        ]
        protocol = TEN_CROP if found.crops == 10 else ONE_CROP
        if expected:
            assert expected[0] == (protocol, found.top1), name
            compared += 1
    assert compared >= 15


def test_the_summary_adds_up():
    lines = command.summary("resnet50", family.FAMILY["resnet50"], 224)
    rows = [line.split() for line in lines if line.startswith(("stem", "stage", "head"))]
    sums = next(line.split() for line in lines if line.startswith("sum"))
    for column in (-2, -1):
        values = [int(row[column].replace(",", "")) for row in rows]
        assert sum(values) == int(sums[column].replace(",", ""))
    assert "stage3       6  14x14x1024" in "\n".join(lines)  # Table 1
