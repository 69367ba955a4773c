"""The page about recipes: a row for each, with its source and what it should reach.

`python -m docs.tables` writes it.
"""

from keras_resnet import family
from train.lab import tables
from train.recipes.recipe import Recipe
from train.recipes.table import RECIPES
from train.tasks.protocols import TEN_CROP

HEAD = """# Recipes

`python -m train --recipe=NAME` follows a published training to the letter; each field is also a
flag that changes it. [Training](training.md) explains the driver, and
[evaluation](evaluation.md#protocols) the protocols. "Expected" is the top-1 accuracy on test images
that the source publishes, in percent: of one crop, or of ten where it says so. What was trained
here is in [results](results.md).

`python -m docs.tables` writes this page from `train/recipes/`, where every other hyper-parameter
stands.
"""
GROUPS = {
    "ImageNet": "imagenet2012",
    "CIFAR-10": "cifar10",
    "CIFAR-100": "cifar100",
    "Your own photos": "folder",
    "Handwritten digits": "digits",
}
TITLES = ("recipe", "network", "steps x images", "expected", "source")


def page() -> str:
    """Returns the page in Markdown."""
    lines = [HEAD]
    for title, dataset in GROUPS.items():
        found = {name: recipe for name, recipe in RECIPES.items() if recipe.dataset == dataset}
        sources = ["", *(recipe.source for recipe in found.values())]
        rows = [
            (*_row(name, recipe), "as above" if recipe.source == before else recipe.source)
            for (name, recipe), before in zip(found.items(), sources, strict=False)
        ]
        lines += [f"## {title}", "", *tables.rows(TITLES, rows), ""]
    return "\n".join(lines)


def _row(name: str, recipe: Recipe) -> tuple[str, ...]:
    changes = family.changes(family.spec(recipe.network, **recipe.fields), recipe.network)
    fields = ", ".join(f"{field}={value}" for field, value in changes.items())
    network = f"{recipe.network}, {fields}" if fields else recipe.network
    images = f"{recipe.steps:,} x {recipe.batch_size:,}"
    return (f"`{name}`", network, images, _expected(recipe))


def _expected(recipe: Recipe) -> str:
    texts = [
        f"{one.top1:.2f}" + (" (ten crops)" if one.protocol == TEN_CROP else "")
        for one in recipe.expected
    ]
    return ", ".join(texts)
