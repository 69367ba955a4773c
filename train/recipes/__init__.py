"""Every hyper-parameter of a training, and a row for each published one."""

from train.recipes.recipe import Recipe
from train.recipes.table import RECIPES, find

__all__ = ["RECIPES", "Recipe", "find"]
