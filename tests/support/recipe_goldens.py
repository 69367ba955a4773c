"""The hyper-parameters of published trainings, each read from its source, none from this package.

A golden names every field of a recipe that changes what is learned. What a source does not
mention is `PLAIN`: off. Steps follow from epochs: one is 1,281,167 images, without the batch that
is not full.
"""

from typing import Any

Golden = dict[str, Any]

IMAGES = 1_281_167

# What no golden below has unless it says so.
PLAIN: Golden = {
    "optimizer": "sgd",
    "nesterov": False,
    "decay_norms": True,
    "clip_norm": 0.0,
    "ema": 0.0,
    "sync_bn": False,
    "boundaries": (),
    "warmup": "linear",
    "warmup_steps": 0,
    "warmup_rate": 0.0,
    "warmup_error": 0.0,
    "loss": "softmax",
    "label_smoothing": 0.0,
    "target_threshold": 0.0,
    "colour": "none",
    "policy": "none",
    "erasing": 0.0,
    "mixup": 0.0,
    "cutmix": 0.0,
    "repeats": 1,
    "test_size": 0,
    "crop": 0.0,
    "init_weights": "",
    "quantize": False,
    "freeze": (),
    "freeze_steps": 0,
    "stage_rate": 1.0,
    "fields": {},
}

# arXiv:1512.03385, section 4.2: "weight decay of 0.0001 and momentum of 0.9", "mini-batch size of
# 128", "learning rate of 0.1, divide it by 10 at 32k and 48k iterations, and terminate training
# at 64k", "4 pixels are padded on each side, and a 32x32 crop is randomly sampled from the padded
# image or its horizontal flip", "per-pixel mean subtracted".
CIFAR: Golden = {
    **PLAIN,
    "steps": 64_000,
    "schedule": "step",
    "boundaries": (32_000, 48_000),
    "batch_size": 128,
    "learning_rate": 0.1,
    "weight_decay": 1e-4,
    "momentum": 0.9,
    "augmentation": "shift_flip",
    "preprocessing": "per_pixel",
    "image_size": 32,
}
# The same section: 110 layers start at 0.01 "until the training error is below 80 %".
WARMED_110 = {"warmup_error": 0.8}
# arXiv:1603.05027, appendix: the same, but "we warm up the training by a smaller learning rate of
# 0.01 at the beginning 400 iterations and go back to 0.1".
CIFAR_V2: Golden = {**CIFAR, "warmup": "constant", "warmup_steps": 400, "warmup_rate": 0.01}

# arXiv:1512.03385, table 6: test error on CIFAR-10.
TABLE_6 = {20: 8.75, 32: 7.51, 44: 7.17, 56: 6.97, 110: 6.43, 1202: 7.93}
# arXiv:1603.05027, table 4: median test error of five runs.
V2_TABLE_4 = {
    ("cifar10", "resnet164_v2"): 5.46,
    ("cifar10", "resnet1001_v2"): 4.92,
    ("cifar100", "resnet164_v2"): 24.33,
    ("cifar100", "resnet1001_v2"): 22.71,
}


def epochs(count: float, batch_size: int) -> int:
    return int(count * (IMAGES // batch_size))


# arXiv:1512.03385, section 3.4: "mini-batch size of 256", "learning rate starts from 0.1", "weight
# decay of 0.0001 and a momentum of 0.9", "shorter side randomly sampled in [256, 480]", "224x224
# crop", "the standard color augmentation in [21]" (AlexNet's PCA). It divides "when the error
# plateaus"; fb.resnet.torch, train.lua: after every 30 of 90 epochs.
PAPER: Golden = {
    **PLAIN,
    "steps": epochs(90, 256),
    "schedule": "step",
    "boundaries": (epochs(30, 256), epochs(60, 256)),
    "batch_size": 256,
    "learning_rate": 0.1,
    "weight_decay": 1e-4,
    "momentum": 0.9,
    "augmentation": "scale_jitter",
    "colour": "pca",
    "preprocessing": "caffe",
    "image_size": 224,
}
# Row to network, option of section 3.3, and 10-crop top-1 error: table 2 for the plain nets and
# 18 layers (option A: "no extra parameter compared to their plain counterparts"), table 3 else.
TABLES_2_3 = {
    "imagenet_plain18": ("plain18", None, 27.94),
    "imagenet_plain34": ("plain34", None, 28.54),
    "imagenet_resnet18": ("resnet18", "A", 27.88),
    "imagenet_resnet34_a": ("resnet34", "A", 25.03),
    "imagenet_resnet34": ("resnet34", "B", 24.52),
    "imagenet_resnet34_c": ("resnet34", "C", 24.19),
    "imagenet_resnet50": ("resnet50", "B", 22.85),
    "imagenet_resnet101": ("resnet101", "B", 21.75),
    "imagenet_resnet152": ("resnet152", "B", 21.43),
}

# What the trainings below share: the crop of Inception (8 to 100 % of the area, 3/4 to 4/3), and
# the mean and deviation of each colour.
MODERN: Golden = {
    **PLAIN,
    "network": "resnet50_v1_5",
    "augmentation": "random_resized_crop",
    "preprocessing": "torch",
    "image_size": 224,
    "momentum": 0.9,
}
# arXiv:2110.00476, table 2: batch of 2048, LAMB, cosine, 5 epochs of warm-up, binary cross-entropy,
# test crop ratio 0.95, flip, random resized crop, RandAugment "7/0.5", mixup 0.1, CutMix 1.0,
# "Repeated Aug" (three times, section 3), stochastic depth 0.05; no erasing, jitter, EMA. What
# timm did by default: LAMB scales gradients to a norm of 1 (optim/lamb.py, max_grad_norm), leaves
# biases and norms without decay, warms up from 1e-4 (train.py, --warmup-lr), and starts the last
# gamma of a block at 0 (models/resnet.py, zero_init_last).
STRIKES_BACK: Golden = {
    **MODERN,
    "batch_size": 2048,
    "optimizer": "lamb",
    "learning_rate": 5e-3,
    "weight_decay": 0.02,
    "decay_norms": False,
    "clip_norm": 1.0,
    "schedule": "cosine",
    "warmup_steps": epochs(5, 2048),
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
RESNET50: dict[str, Golden] = {
    # fb.resnet.torch: opts.lua (LR 0.1, momentum 0.9, weightDecay 1e-4, 90 epochs), TRAINING.md
    # (batchSize 256), train.lua (nesterov; floor((epoch - 1) / 30); decay of all parameters),
    # datasets/imagenet.lua (RandomSizedCrop, ColorJitter of 0.4, Lighting, meanstd).
    "imagenet_resnet50_fb": {
        **MODERN,
        "steps": epochs(90, 256),
        "batch_size": 256,
        "learning_rate": 0.1,
        "nesterov": True,
        "weight_decay": 1e-4,
        "schedule": "step",
        "boundaries": (epochs(30, 256), epochs(60, 256)),
        "colour": "jitter_pca",
    },
    # arXiv:1706.02677. Section 2.1: rate 0.1 * kn / 256; 2.2: warm-up of 5 epochs from 0.1; 5.1:
    # Nesterov momentum of 0.9, decay of 1e-4 but not of gamma and beta, 90 epochs, a tenth at 30,
    # 60 and 80, gamma of the last BN of a block starts at 0.
    "imagenet_resnet50_8k": {
        **MODERN,
        "steps": epochs(90, 8192),
        "batch_size": 8192,
        "learning_rate": 0.1 * 8192 / 256,
        "nesterov": True,
        "weight_decay": 1e-4,
        "decay_norms": False,
        "schedule": "step",
        "boundaries": (epochs(30, 8192), epochs(60, 8192), epochs(80, 8192)),
        "warmup_steps": epochs(5, 8192),
        "warmup_rate": 0.1,
        "fields": {"zero_gamma": True},
    },
    # NVIDIA DeepLearningExamples, TensorFlow/Classification/ConvNets/resnet50v1.5: README (0.256
    # for a batch of 256, momentum 0.875, decay 1/32768 but not of BN, smoothing 0.1, cosine) and
    # training/DGXA100_RN50_AMP_90E.sh (8 x 256, 90 epochs, lr_warmup_epochs=8).
    "imagenet_resnet50_nvidia": {
        **MODERN,
        "steps": epochs(90, 8 * 256),
        "batch_size": 8 * 256,
        "learning_rate": 0.256 * 8,
        "momentum": 0.875,
        "weight_decay": 1 / 32768,
        "decay_norms": False,
        "schedule": "cosine",
        "warmup_steps": epochs(8, 8 * 256),
        "label_smoothing": 0.1,
    },
    # torchvision, weights ResNet50 IMAGENET1K_V2, recipe in pytorch/vision issue 3995 and the blog
    # "How to Train State-Of-The-Art Models Using TorchVision's Latest Primitives": 8 x 128, lr 0.5,
    # cosine, 5 epochs of warm-up from 0.01 * lr (train.py, --lr-warmup-decay), 600 epochs,
    # ta_wide, random-erase 0.1, label-smoothing 0.1, mixup 0.2, cutmix 1, weight-decay 2e-5,
    # norm-weight-decay 0, train-crop 176, val-resize 232, val-crop 224, ra-reps 4; train.py moves
    # the average every 32 steps, with a decay that makes 0.99998 independent of batch and epochs.
    "imagenet_resnet50_torchvision2": {
        **MODERN,
        "steps": epochs(600, 8 * 128),
        "batch_size": 8 * 128,
        "learning_rate": 0.5,
        "weight_decay": 2e-5,
        "decay_norms": False,
        "schedule": "cosine",
        "warmup_steps": epochs(5, 8 * 128),
        "warmup_rate": 0.5 * 0.01,
        "label_smoothing": 0.1,
        "policy": "trivial",
        "erasing": 0.1,
        "mixup": 0.2,
        "cutmix": 1.0,
        "repeats": 4,
        "ema": (1 - (1 - 0.99998) * 8 * 128 * 32 / 600) ** (1 / 32),
        "image_size": 176,
        "test_size": 224,
        "crop": 224 / 232,
    },
    # Table 2 has 600, 300 and 100 epochs; A1 smooths by 0.1, decays by 0.01, and mixes by 0.2; A3
    # has lr 8e-3, 160 pixels, RandAugment "6/0.5", no stochastic depth, no repeated augmentation.
    "imagenet_resnet50_a1": {
        **STRIKES_BACK,
        "steps": epochs(600, 2048),
        "weight_decay": 0.01,
        "label_smoothing": 0.1,
        "mixup": 0.2,
    },
    "imagenet_resnet50_a2": {**STRIKES_BACK, "steps": epochs(300, 2048)},
    "imagenet_resnet50_a3": {
        **STRIKES_BACK,
        "steps": epochs(100, 2048),
        "learning_rate": 8e-3,
        "magnitude": 0.6,
        "repeats": 1,
        "image_size": 160,
        "test_size": 224,
        "fields": {"zero_gamma": True},
    },
    # arXiv:1708.03888, section 5: trust coefficient 0.001, momentum 0.9, batch of 32K. MLPerf's
    # reference, tensorflow/official/resnet: resnet_run_loop.py, poly_rate_fn (32.0, 14 epochs of
    # warm-up, power 2; skip_list of BN and biases), imagenet_main.py (decay 1e-4, 90 epochs);
    # README of its version 1.0 (label_smoothing 0.1).
    "imagenet_resnet50_lars": {
        **MODERN,
        "steps": epochs(90, 32_768),
        "batch_size": 32_768,
        "optimizer": "lars",
        "trust": 0.001,
        "learning_rate": 32.0,
        "weight_decay": 1e-4,
        "decay_norms": False,
        "schedule": "square",
        "warmup_steps": epochs(14, 32_768),
        "label_smoothing": 0.1,
    },
}
# The accuracy that each source states: top-1 in percent, or the top-1 error where it says so.
EXPECTED = {  # accuracy by the protocol that the source used
    # README, "Trained models": errors of 1-crop and 10-crop
    "imagenet_resnet50_fb": {"one_crop": 100 - 24.01, "ten_crop": 100 - 22.24},
    "imagenet_resnet50_8k": {"one_crop": 100 - 23.74},  # table 1
    "imagenet_resnet50_nvidia": {"one_crop": 76.9},  # README, training accuracy
    "imagenet_resnet50_torchvision2": {"one_crop": 80.858},  # documentation of the weights
    "imagenet_resnet50_a1": {"one_crop": 80.4},  # table 2
    "imagenet_resnet50_a2": {"one_crop": 79.8},
    "imagenet_resnet50_a3": {"one_crop": 78.1},
    "imagenet_resnet50_lars": {"one_crop": 75.9},  # README, "Quality target"
}


def _table() -> dict[str, Golden]:
    rows: dict[str, Golden] = {}
    for dataset in ("cifar10", "cifar100"):
        for kind in ("resnet", "plain"):
            for depth in TABLE_6:
                network = f"{kind}{depth}"
                row = {**CIFAR, "dataset": dataset, "network": network}
                rows[f"{dataset}_{network}"] = row | (WARMED_110 if depth == 110 else {})
    for dataset, network in V2_TABLE_4:
        rows[f"{dataset}_{network}"] = {**CIFAR_V2, "dataset": dataset, "network": network}
    for name, (network, option, _) in TABLES_2_3.items():
        rows[name] = {**PAPER, "network": network, "fields": {"shortcut": option}}
    return rows | RESNET50


GOLDENS = _table()
# Rows that no publication has: (the numbers that their sources do have) by field.
OURS: dict[str, Golden] = {
    "digits_resnet20": {},
    # arXiv:1712.05877, section 3: starts from trained weights, folds BN, rounds while it learns.
    "cifar10_resnet56_int8": {"quantize": True, "preprocessing": "weights", "network": "resnet56"},
    # arXiv:1411.1792: early layers are general. arXiv:1801.06146, section 3.2: each layer learns
    # at the rate of the next one divided by 2.6.
    "finetune": {"freeze": ("stem", "stage1", "stage2"), "stage_rate": round(1 / 2.6, 1)},
}
