"""CIFAR-10 and -100, as in the two papers of the authors."""

from collections.abc import Mapping

from train.recipes.expected import error as reached
from train.recipes.recipe import Recipe
from train.tasks.protocols import ONE_CROP


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
        expected=(reached(ONE_CROP, error, "Table 6"),) if error else (),
    )


def _cifar_v2_recipe(network: str, dataset: str, error: float) -> Recipe:
    return Recipe(
        network=network,
        dataset=dataset,
        steps=64_000,
        boundaries=(32_000, 48_000),
        warmup="constant",
        warmup_steps=400,
        warmup_rate=0.01,
        augmentation="shift_flip",
        save_every=100,
        source="arXiv:1603.05027, appendix; cost: 64,000 steps of 128 images, 27 hours for 1001"
        " layers on two GPUs of 2016",
        expected=(reached(ONE_CROP, error, "Table 4, median of 5 runs"),),
    )


CIFAR10_ERRORS = {20: 8.75, 32: 7.51, 44: 7.17, 56: 6.97, 110: 6.43, 1202: 7.93}
CIFAR_V2_ERRORS = {
    ("cifar10", "resnet164_v2"): 5.46,
    ("cifar10", "resnet1001_v2"): 4.92,
    ("cifar100", "resnet164_v2"): 24.33,
    ("cifar100", "resnet1001_v2"): 22.71,
}
CIFAR: Mapping[str, Recipe] = {
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
    **{
        f"{dataset}_{network}": _cifar_v2_recipe(network, dataset, error)
        for (dataset, network), error in CIFAR_V2_ERRORS.items()
    },
    "cifar10_resnet56_int8": Recipe(
        network="resnet56",
        dataset="cifar10",
        steps=200,
        learning_rate=1e-4,
        weight_decay=0.0,
        schedule="cosine",
        augmentation="shift_flip",
        preprocessing="weights",
        init_weights="runs/cifar10_resnet56/final.weights.h5",
        quantize=True,
        log_every=20,
        eval_every=100,
        save_every=50,
        source="arXiv:1712.05877, section 3; give --init_weights of your own, and its --network",
    ),
}
