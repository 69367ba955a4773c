"""A row for each published training, with its source, what it should reach, and its cost."""

import difflib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from train.recipes.cifar import CIFAR
from train.recipes.expected import Expected
from train.recipes.imagenet import IMAGENET
from train.recipes.recipe import Recipe
from train.tasks.protocols import ONE_CROP

RECIPES: Mapping[str, Recipe] = {
    "digits_resnet20": Recipe(
        network="resnet20",
        dataset="digits",
        steps=1500,
        weight_decay=1e-3,
        schedule="cosine",
        augmentation="shift",
        image_size=8,
        eval_every=500,
        save_every=500,
        source="the handwritten digits of scikit-learn; cost: about a minute on one core",
        expected=(Expected(ONE_CROP, 98.0, "a lower bound"),),
    ),
    **CIFAR,
    **IMAGENET,
    "finetune": Recipe(
        network="resnet50",
        dataset="folder",
        steps=1000,
        batch_size=32,
        learning_rate=0.01,
        schedule="cosine",
        warmup_steps=50,
        augmentation="random_resized_crop",
        preprocessing="weights",
        image_size=224,
        init_weights="imagenet",
        freeze=("stem", "stage1", "stage2"),
        stage_rate=0.4,
        eval_every=200,
        save_every=100,
        source="frozen early stages: arXiv:1411.1792; rates falling by 2.6 from part to part:"
        " arXiv:1801.06146, section 3.2; give --init_weights and --data_dir of your own",
    ),
}

# Of recipes for data of any size, whose `steps` are the most.
EPOCHS: Mapping[str, float] = {"finetune": 30}


def find(name: str, **changes: Any) -> Recipe:
    """Looks up a recipe and changes fields of it.

    Raises:
        ValueError: for a name outside `RECIPES` or a value that a field does not allow.
    """
    if name not in RECIPES:
        *others, last = _near(name) or [""]
        found = f"{', '.join(others)} or {last}" if others else last
        hint = f"did you mean {found}? " if found else ""
        raise ValueError(f"unknown recipe {name!r}: {hint}--list_recipes lists all {len(RECIPES)}")
    return replace(RECIPES[name], **changes)


def _near(name: str) -> list[str]:
    """Returns the recipes that a name may mean: those that contain it, or differ in a few letters.

    A recipe is also compared without its data set, as in "resnet56".
    """
    word = name.lower().replace("-", "_")
    inside = [known for known in RECIPES if word and word in known]
    short = {known.partition("_")[2]: known for known in reversed(list(RECIPES))}
    alike = difflib.get_close_matches(word, [*RECIPES, *short], 3, 0.85)
    return list(dict.fromkeys([*inside, *(short.get(one, one) for one in alike)]))[:3]
