"""Every hyper-parameter of a training.

All time is counted in steps; an epoch is only a way to write a number of them.
"""

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from keras_resnet import family
from train.recipes.expected import Expected

Augmentation = Literal["none", "shift", "shift_flip", "random_resized_crop", "scale_jitter"]
Colour = Literal["none", "pca", "jitter_pca"]
Policy = Literal["none", "randaugment", "trivial"]
Optimizer = Literal["sgd", "lars", "adamw", "lamb"]
Loss = Literal["softmax", "sigmoid"]
Schedule = Literal["step", "cosine", "square"]
Warmup = Literal["linear", "constant"]
# The names of `keras_resnet.preprocessing.MODES`, which this module does not wait for.
Preprocessing = Literal["per_pixel", "weights", "caffe", "torch", "tf", "none"]
CHOICES = {
    "augmentation": Augmentation,
    "colour": Colour,
    "policy": Policy,
    "optimizer": Optimizer,
    "loss": Loss,
    "schedule": Schedule,
    "warmup": Warmup,
    "preprocessing": Preprocessing,
}
POSITIVE = (
    "steps",
    "batch_size",
    "micro_batches",
    "image_size",
    "log_every",
    "eval_every",
    "save_every",
    "repeats",
)
NOT_NEGATIVE = (
    "learning_rate",
    "weight_decay",
    "clip_norm",
    "warmup_steps",
    "validation",
    "seed",
    "freeze_steps",
    "warmup_rate",
    "mixup",
    "cutmix",
    "precise_bn",
    "test_size",
    "max_broken",
)
BELOW_1 = ("momentum", "warmup_error", "label_smoothing", "target_threshold", "ema")
UP_TO_1 = ("erasing", "magnitude", "crop", "trust")


def _field(text: str, default: Any = MISSING) -> Any:
    """Returns a field that is also a flag, with its help.

    Args:
        text: sentences; the flag adds that the default is the recipe's.
        default: of rows that do not say it; without one each row has to.
    """
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class Recipe:
    """One training, complete but for the place where it runs.

    Raises:
        ValueError: naming the field, its value, and what is allowed.
    """

    network: str = _field("Name of the network, such as resnet50; see keras_resnet.FAMILY.")
    dataset: str = _field(
        "Data set: digits, folder, or the name of an image classification set of TensorFlow"
        " Datasets."
    )
    steps: int = _field("Number of steps, each an update, in total.")
    batch_size: int = _field("Images per step, over all replicas.", 128)
    learning_rate: float = _field("Peak learning rate, for the whole batch.", 0.1)
    optimizer: Optimizer = _field("Optimizer.", "sgd")
    momentum: float = _field("Momentum of SGD and LARS, in [0, 1).", 0.9)
    nesterov: bool = _field("Use Nesterov momentum.", False)
    weight_decay: float = _field(
        "Weight decay. SGD and LARS add weight_decay * w to the gradient, as the paper does; AdamW"
        " and LAMB decay apart from it.",
        1e-4,
    )
    decay_norms: bool = _field(
        "Decay scales and biases, too, as the paper does, and not only kernels.", True
    )
    trust: float = _field(
        "Trust coefficient of LARS, in [0, 1]: at a learning rate of 1, the norm of a step of a"
        " weight tensor relative to the norm of the tensor.",
        0.001,
    )
    clip_norm: float = _field(
        "Largest norm of the gradient of the global batch; larger gradients are scaled down to it."
        " 0: no clipping.",
        0.0,
    )
    ema: float = _field(
        "Decay of the moving average of the weights, which is evaluated and published. 0: no"
        " average.",
        0.0,
    )
    sync_bn: bool = _field("Normalize by the statistics of the global batch.", False)
    precise_bn: int = _field(
        "Number of training batches from which BN statistics are recomputed at the end. 0: moving"
        " averages.",
        0,
    )
    micro_batches: int = _field(
        "Number of parts into which a replica's batch is split to save memory; they go through the"
        " network one after another.",
        1,
    )
    schedule: Schedule = _field(
        "Shape of the learning rate: step divides it by ten at each boundary, cosine and square"
        " fall to 0.",
        "step",
    )
    boundaries: tuple[int, ...] = _field(
        "Steps at which schedule=step divides the rate by ten, separated by commas.", ()
    )
    warmup: Warmup = _field(
        "How the rate warms up: linear rises from warmup_rate to the peak, constant stays at"
        " warmup_rate.",
        "linear",
    )
    warmup_steps: int = _field("Number of steps of the warm-up. 0: no warm-up.", 0)
    warmup_rate: float = _field("Learning rate at the start of the warm-up.", 0.0)
    warmup_error: float = _field(
        "The learning rate is a tenth until the training error, in [0, 1), first falls below this."
        " 0: no such warm-up.",
        0.0,
    )
    loss: Loss = _field(
        "Softmax cross-entropy, or the mean of a binary (sigmoid) cross-entropy for each class.",
        "softmax",
    )
    label_smoothing: float = _field(
        "Share of the target that is spread over all classes, in [0, 1).", 0.0
    )
    target_threshold: float = _field(
        "With loss=sigmoid, targets above it count as 1, and others as 0. 0: targets as they are.",
        0.0,
    )
    augmentation: Augmentation = _field("How training images are cropped and mirrored.", "none")
    colour: Colour = _field(
        "Random changes of colour: pca moves all pixels along the principal colours, jitter_pca"
        " also changes brightness, contrast and saturation.",
        "none",
    )
    policy: Policy = _field("Further random operations on training images.", "none")
    magnitude: float = _field("Mean magnitude of policy=randaugment, in [0, 1].", 0.9)
    erasing: float = _field("Share of training images in which a rectangle is erased.", 0.0)
    mixup: float = _field("Alpha of mixup. 0: no mixup.", 0.0)
    cutmix: float = _field("Alpha of CutMix. 0: no CutMix.", 0.0)
    repeats: int = _field(
        "How often each image is seen per epoch, augmented differently each time.", 1
    )
    preprocessing: Preprocessing = _field(
        "How pixels are normalized; per_pixel subtracts the mean image of the training images,"
        " weights is as the first weights need it.",
        "per_pixel",
    )
    image_size: int = _field("Pixels per side of training images.", 32)
    test_size: int = _field("Pixels per side of test images. 0: image_size.", 0)
    crop: float = _field(
        "Share of a side that the central crop of test images keeps, in [0, 1]. 0: 0.875 for"
        " augmentations that choose a scale, else 1.",
        0.0,
    )
    init_weights: str = _field(
        "Weights to start from: a file, a URL, hf://owner/name, or a name in"
        " keras_resnet.list_weights(), such as imagenet or cifar10. Empty: random ones.",
        "",
    )
    quantize: bool = _field(
        "Fold BN of the first weights into convolutions, and train with int8 rounding.", False
    )
    freeze: tuple[str, ...] = _field(
        "Parts of the network that do not learn: stem, stage1, ..., head, separated by commas.", ()
    )
    freeze_steps: int = _field("Number of steps after which frozen parts learn, too. 0: never.", 0)
    stage_rate: float = _field(
        "Ratio of the learning rate of each part to that of the next part towards the head, in"
        " (0, 1].",
        1.0,
    )
    seed: int = _field("Seed of random weights, of the order of the data, and of augmentation.", 0)
    max_broken: int = _field(
        "Number of images that may be left out because they cannot be decoded; one more is an"
        " error.",
        10,
    )
    validation: int = _field(
        "Number of training examples to hold out, and to evaluate on during training.", 0
    )
    log_every: int = _field("Steps between progress lines.", 100)
    eval_every: int = _field("Steps between evaluations.", 1000)
    save_every: int = _field("Steps between checkpoints.", 500)
    fields: Mapping[str, Any] = field(default_factory=dict)  # of the spec, where they differ
    source: str = ""
    expected: tuple[Expected, ...] = ()

    def __post_init__(self) -> None:
        for name in ("boundaries", "freeze"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "fields", json.loads(json.dumps(dict(self.fields))))
        known = [x if isinstance(x, Expected) else Expected(**x) for x in self.expected]
        object.__setattr__(self, "expected", tuple(known))
        family.spec(self.network, **self.fields)
        given = sorted({"classes", "image_size"} & set(self.fields))
        if given:
            raise ValueError(f"{' and '.join(given)} follow from the data and --image_size")
        self._check_values()
        self._check_schedule()
        self._check_images()
        self._check_transfer()

    def _check_values(self) -> None:
        for name, kind in CHOICES.items():
            _choose(name, getattr(self, name), get_args(kind))
        for name in POSITIVE:
            _bound(name, getattr(self, name), 1, None)
        for name in NOT_NEGATIVE:
            _bound(name, getattr(self, name), 0, None)
        for name in BELOW_1:
            _bound(name, getattr(self, name), 0, 1)
        for name in UP_TO_1:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)!r}")

    def _check_schedule(self) -> None:
        if self.batch_size % self.micro_batches:
            raise ValueError(
                f"batch_size={self.batch_size} cannot be split into {self.micro_batches}"
                " micro_batches"
            )
        increasing = list(self.boundaries) == sorted(set(self.boundaries))
        if not increasing or min(self.boundaries, default=1) < 1:
            raise ValueError(f"boundaries must be increasing steps, got {self.boundaries}")
        if self.warmup_steps and self.warmup_error:
            raise ValueError("warmup_steps and warmup_error are different rules; give one of them")
        if self.warmup == "constant" and self.warmup_steps and not self.warmup_rate:
            raise ValueError("warmup=constant needs a warmup_rate above 0: at 0 nothing is learned")

    def _check_images(self) -> None:
        if self.test_size and (not self.scales or self.preprocessing == "per_pixel"):
            raise ValueError(
                f"test_size={self.test_size} needs an augmentation that chooses a scale, such as"
                f" random_resized_crop, and a mean colour, not augmentation={self.augmentation!r}"
                f" and preprocessing={self.preprocessing!r}"
            )
        if self.optimizer == "lars" and not self.trust:
            raise ValueError("trust must be above 0 with optimizer=lars, got 0")
        if self.target_threshold and self.loss != "sigmoid":
            raise ValueError(f"target_threshold={self.target_threshold} needs loss=sigmoid")

    def _check_transfer(self) -> None:
        family.spec(self.network, **self.fields).check_parts(self.freeze)
        if not 0 < self.stage_rate <= 1:
            raise ValueError(f"stage_rate must be in (0, 1], got {self.stage_rate!r}")
        if self.freeze_steps and not self.freeze:
            raise ValueError(f"freeze_steps={self.freeze_steps} needs parts to freeze")
        if self.quantize and (self.sync_bn or self.precise_bn):
            raise ValueError(
                f"quantize folds all BN, and leaves none for sync_bn={self.sync_bn} or"
                f" precise_bn={self.precise_bn}"
            )
        if self.init_weights:
            return
        if self.quantize:
            raise ValueError("quantize needs init_weights: what is rounded has to be trained first")
        if self.freeze or self.preprocessing == "weights":
            raise ValueError(
                f"freeze={','.join(self.freeze)!r} and preprocessing={self.preprocessing!r} need"
                " init_weights: what is frozen has to have learned something"
            )

    @property
    def scales(self) -> bool:
        """Whether training sees images at random scales."""
        return self.augmentation in ("random_resized_crop", "scale_jitter")

    def frozen(self, step: int) -> tuple[str, ...]:
        """Returns the parts that do not learn in a step."""
        return () if self.freeze_steps and step > self.freeze_steps else self.freeze

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        values = json.loads(text)
        if isinstance(values.get("expected"), str):  # words, in earlier versions
            del values["expected"]
        return cls(**values)


def _choose(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {list(allowed)}, got {value!r}")


def _bound(name: str, value: float, low: float, high: float | None) -> None:
    if not low <= value < (float("inf") if high is None else high):
        allowed = f"at least {low}" if high is None else f"in [{low}, {high})"
        raise ValueError(f"{name} must be {allowed}, got {value!r}")


HELP = {f.name: f.metadata["help"] for f in fields(Recipe) if f.metadata}  # name to help
