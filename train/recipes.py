"""A row for each published training, with its source, what it should reach, and its cost."""

import difflib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from train.recipe import Recipe


def _cifar_recipe(network: str, dataset: str, error: float | None) -> Recipe:
    # 110 layers start at a tenth of the rate, until the training error is below 80 %.
    return Recipe(
        network=network,
        dataset=dataset,
        steps=64_000,
        boundaries=(32_000, 48_000),
        warmup_error=0.8 if "110" in network else 0.0,
        augmentation="shift_flip",
        save_every=100,
        source="arXiv:1512.03385, section 4.2; cost: 64,000 steps of 128 images",
        expected=f"test error {error:.2f} % (Table 6)" if error else "",
    )


def _imagenet_recipe(network: str, shortcut: str | None, top1: float) -> Recipe:
    epoch = 1_281_167 // 256
    return Recipe(
        network=network,
        dataset="imagenet2012",
        steps=90 * epoch,
        batch_size=256,
        boundaries=(30 * epoch, 60 * epoch),
        augmentation="scale_jitter",
        colour="pca",
        preprocessing="caffe",
        image_size=224,
        eval_every=epoch,
        save_every=1000,
        fields={"shortcut": shortcut},
        source="arXiv:1512.03385, section 3.4; it divides at plateaus, this row as"
        " fb.resnet.torch at 30 and 60 of 90 epochs",
        expected=f"10-crop top-1 error {top1:.2f} % (Tables 2 and 3)",
    )


CIFAR10_ERRORS = {20: 8.75, 32: 7.51, 44: 7.17, 56: 6.97, 110: 6.43, 1202: 7.93}
IMAGENET_NETS = {  # network and shortcut to top-1 error, 10-crop; tables 2 and 3
    "plain18": ("plain18", None, 27.94),
    "plain34": ("plain34", None, 28.54),
    "resnet18": ("resnet18", "A", 27.88),
    "resnet34_a": ("resnet34", "A", 25.03),
    "resnet34": ("resnet34", "B", 24.52),
    "resnet34_c": ("resnet34", "C", 24.19),
    "resnet50": ("resnet50", "B", 22.85),
    "resnet101": ("resnet101", "B", 21.75),
    "resnet152": ("resnet152", "B", 21.43),
}
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
        expected="test accuracy at least 98 %",
    ),
    **{
        f"{dataset}_{kind}{depth}": _cifar_recipe(
            f"{kind}{depth}",
            dataset,
            error if (kind, dataset) == ("resnet", "cifar10") else None,
        )
        for dataset in ("cifar10", "cifar100")
        for kind in ("resnet", "plain")
        for depth, error in CIFAR10_ERRORS.items()
    },
    **{f"imagenet_{name}": _imagenet_recipe(*row) for name, row in IMAGENET_NETS.items()},
    "imagenet_resnet50_8k": Recipe(
        network="resnet50_v1_5",
        dataset="imagenet2012",
        steps=90 * 156,  # an epoch is 156 batches
        batch_size=8192,
        learning_rate=3.2,
        nesterov=True,
        decay_norms=False,
        boundaries=(30 * 156, 60 * 156, 80 * 156),
        warmup_steps=5 * 156,
        augmentation="random_resized_crop",
        preprocessing="torch",
        image_size=224,
        eval_every=156,
        save_every=156,
        fields={"zero_gamma": True},
        source="arXiv:1706.02677, section 5.1; cost: 14,040 steps of 8,192 images",
        expected="top-1 error 23.74 % (section 5.2)",
    ),
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


def find(name: str, **changes: Any) -> Recipe:
    """Looks up a recipe and changes fields of it.

    Raises:
        ValueError: for a name outside `RECIPES` or a value that a field does not allow.
    """
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, 3) or list(RECIPES)
        raise ValueError(f"unknown recipe {name!r}; did you mean {' or '.join(near)}?")
    return replace(RECIPES[name], **changes)
