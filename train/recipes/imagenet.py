"""ImageNet: the paper's networks, and what others have reached with ResNet-50."""

from collections.abc import Mapping
from typing import Any

from train.recipes.expected import Expected, error
from train.recipes.recipe import Recipe
from train.tasks.protocols import ONE_CROP, TEN_CROP

IMAGES = 1_281_167


def _imagenet_recipe(network: str, shortcut: str | None, top1_error: float) -> Recipe:
    epoch = IMAGES // 256
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
        expected=(error(TEN_CROP, top1_error, "Tables 2 and 3"),),
    )


def _resnet50_recipe(batch_size: int, epochs: int, warmup_epochs: int, **changes: Any) -> Recipe:
    """Returns a modern recipe of ResNet-50 (v1.5); changes are fields of its own."""
    epoch = IMAGES // batch_size
    common: dict[str, Any] = {
        "decay_norms": False,
        "schedule": "cosine",
        "augmentation": "random_resized_crop",
        "image_size": 224,
    }
    return Recipe(
        network="resnet50_v1_5",
        dataset="imagenet2012",
        steps=epochs * epoch,
        batch_size=batch_size,
        warmup_steps=warmup_epochs * epoch,
        preprocessing="torch",
        eval_every=epoch,
        save_every=min(epoch, 1000),
        **common | changes,
    )


def _strikes_back(epochs: int, top1: float, hours: int, **changes: Any) -> Recipe:
    """A1 to A3 of Wightman et al.: LAMB, binary cross-entropies, and mixed images."""
    common: dict[str, Any] = {
        "optimizer": "lamb",
        "learning_rate": 5e-3,
        "weight_decay": 0.02,
        "clip_norm": 1.0,
        "warmup_rate": 1e-4,
        "loss": "sigmoid",
        "policy": "randaugment",
        "magnitude": 0.7,
        "mixup": 0.1,
        "cutmix": 1.0,
        "repeats": 3,
        "crop": 0.95,
        "fields": {"zero_gamma": True, "stochastic_depth": 0.05},
    }
    return _resnet50_recipe(
        2048,
        epochs,
        5,
        source="arXiv:2110.00476, table 2, with what timm's LAMB and warm-up do by default, but"
        f" images resized bilinearly; cost: {hours} hours on four V100",
        expected=(Expected(ONE_CROP, top1, "table 2, at 224 pixels"),),
        **common | changes,
    )


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
IMAGENET: Mapping[str, Recipe] = {
    **{f"imagenet_{name}": _imagenet_recipe(*row) for name, row in IMAGENET_NETS.items()},
    "imagenet_resnet50_fb": _resnet50_recipe(
        256,
        90,
        0,
        nesterov=True,
        decay_norms=True,
        schedule="step",
        boundaries=tuple(n * (IMAGES // 256) for n in (30, 60)),
        colour="jitter_pca",
        source="fb.resnet.torch, opts.lua and datasets/imagenet.lua; cost: 90 epochs",
        expected=(
            error(ONE_CROP, 24.01, "its README"),
            error(TEN_CROP, 22.24, "its README"),
        ),
    ),
    "imagenet_resnet50_8k": _resnet50_recipe(
        8192,
        90,
        5,
        learning_rate=3.2,
        warmup_rate=0.1,
        nesterov=True,
        schedule="step",
        boundaries=tuple(n * (IMAGES // 8192) for n in (30, 60, 80)),
        fields={"zero_gamma": True},
        source="arXiv:1706.02677, sections 2.2 and 5.1; cost: 90 epochs, an hour on 256 P100",
        expected=(error(ONE_CROP, 23.74, "section 5.2"),),
    ),
    "imagenet_resnet50_nvidia": _resnet50_recipe(
        2048,
        90,
        8,
        learning_rate=2.048,
        momentum=0.875,
        weight_decay=2**-15,
        label_smoothing=0.1,
        source="NVIDIA DeepLearningExamples, ConvNets; cost: 90 epochs, 2 hours on eight A100",
        expected=(Expected(ONE_CROP, 76.9, "its README"),),
    ),
    "imagenet_resnet50_torchvision2": _resnet50_recipe(
        1024,
        600,
        5,
        learning_rate=0.5,
        warmup_rate=0.005,
        weight_decay=2e-5,
        label_smoothing=0.1,
        policy="trivial",
        erasing=0.1,
        mixup=0.2,
        cutmix=1.0,
        repeats=4,
        ema=0.998908 ** (1 / 32),  # torchvision moves its average every 32 steps
        image_size=176,
        test_size=224,
        crop=224 / 232,
        source="torchvision, references/classification, weights IMAGENET1K_V2; cost: 600 epochs",
        expected=(Expected(ONE_CROP, 80.858, "its documentation"),),
    ),
    "imagenet_resnet50_a1": _strikes_back(
        600, 80.4, 110, weight_decay=0.01, label_smoothing=0.1, mixup=0.2
    ),
    "imagenet_resnet50_a2": _strikes_back(300, 79.8, 55),
    "imagenet_resnet50_a3": _strikes_back(
        100,
        78.1,
        15,
        learning_rate=8e-3,
        magnitude=0.6,
        repeats=1,
        image_size=160,
        test_size=224,
        fields={"zero_gamma": True},
    ),
    "imagenet_resnet50_lars": _resnet50_recipe(
        32_768,
        90,
        14,
        optimizer="lars",
        learning_rate=32.0,
        schedule="square",
        label_smoothing=0.1,
        source="arXiv:1708.03888 with the schedule of MLPerf's reference; cost: 90 epochs",
        expected=(Expected(ONE_CROP, 75.9, "MLPerf's target"),),
    ),
}
