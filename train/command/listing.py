"""`python -m train --list_recipes`: a table of all recipes."""

import re
import textwrap

from train.recipes import EPOCHS, RECIPES
from train.recipes.recipe import Recipe

TITLES = ("recipe", "network", "expected top-1", "images", "source")
GAP = "  "
WIDTH = 100


def table() -> str:
    """Returns a row for each recipe; sources in full are in --print_recipe."""
    rows = [TITLES, *(_row(name, recipe) for name, recipe in RECIPES.items())]
    widths = [max(len(row[i]) for row in rows) for i in range(len(TITLES) - 1)]
    lines = [
        GAP.join([f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)] + [row[-1]])
        for row in rows
    ]
    note = (
        "Images: those of all steps together, each as often as it is seen. Every hyper-parameter of"
        " a recipe: --recipe=NAME --print_recipe"
    )
    return "\n".join([*lines, "", *textwrap.wrap(note, WIDTH)])


def _row(name: str, recipe: Recipe) -> tuple[str, ...]:
    reached = ", ".join(f"{x.top1:.4g} % ({x.protocol})" for x in recipe.expected)
    length = f"{EPOCHS[name]:g} epochs" if name in EPOCHS else images(recipe)
    return (name, recipe.network, reached, length, re.split("[;,]", recipe.source)[0])


def images(recipe: Recipe) -> str:
    """Returns how many images all steps see together, such as "8.19 M"."""
    number = recipe.steps * recipe.batch_size
    return f"{number / 1e6:,.3g} M" if number >= 1e6 else f"{number / 1e3:,.3g} k"
