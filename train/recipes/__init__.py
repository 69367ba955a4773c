"""Recipes: every hyper-parameter of a training, a row for each published one, and what they mean.

`recipe` and `table` are data. `plan` and `data` unpack a recipe into the values that the rest of
the code takes; `validity` says where it can be followed.
"""

from train.recipes.recipe import Recipe
from train.recipes.table import EPOCHS, RECIPES, find

__all__ = ["EPOCHS", "RECIPES", "Recipe", "find"]
