"""Every hyper-parameter of a training.

All time is counted in steps; an epoch is only a way to write a number of them.
"""

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from keras_resnet import family, preprocessing, transfer

Augmentation = Literal["none", "shift", "shift_flip", "random_resized_crop", "scale_jitter"]
Colour = Literal["none", "pca", "jitter_pca"]
Policy = Literal["none", "randaugment", "trivial"]
Optimizer = Literal["sgd", "lars", "adamw", "lamb"]
Loss = Literal["softmax", "sigmoid"]
Schedule = Literal["step", "cosine", "square"]
CHOICES = {
    "augmentation": Augmentation, "colour": Colour, "policy": Policy, "optimizer": Optimizer,
    "loss": Loss, "schedule": Schedule,
}  # fmt: skip
POSITIVE = (
    "steps", "batch_size", "micro_batches", "image_size", "log_every", "eval_every", "save_every",
    "repeats",
)  # fmt: skip
NOT_NEGATIVE = (
    "learning_rate", "weight_decay", "clip_norm", "warmup_steps", "validation", "seed",
    "freeze_steps", "warmup_rate", "mixup", "cutmix", "precise_bn", "test_size", "max_broken",
)  # fmt: skip
BELOW_1 = ("momentum", "warmup_error", "label_smoothing", "target_threshold", "ema")
UP_TO_1 = ("erasing", "magnitude", "crop", "trust")
PREPROCESSING = ("per_pixel", "weights", *preprocessing.MODES)


def _field(text: str, default: Any = MISSING) -> Any:
    """A field that is also a flag, with its help; without a default each row has to give it."""
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class Recipe:
    """One training, complete but for the place where it runs.

    Raises:
        ValueError: naming the field, what came, and what is allowed.
    """

    network: str = _field("a name in keras_resnet.FAMILY")
    dataset: str = _field("digits, folder, or an image classification data set of TFDS")
    steps: int = _field("updates in all")
    batch_size: int = _field("images a step, over all replicas", 128)
    learning_rate: float = _field("the highest", 0.1)
    optimizer: Optimizer = _field("the rule of an update", "sgd")
    momentum: float = _field("of SGD and LARS", 0.9)
    nesterov: bool = _field("look ahead by the momentum", False)
    weight_decay: float = _field(
        "the paper's: adds weight_decay * w to the gradient of each weight, coupled", 1e-4
    )
    decay_norms: bool = _field("decay also BN and biases, as the paper", True)
    trust: float = _field("of LARS: the longest step of a weight, over its own length", 0.001)
    clip_norm: float = _field("longest gradient of the global batch; 0 for any", 0.0)
    ema: float = _field("decay of the average of weights that is evaluated; 0 for none", 0.0)
    sync_bn: bool = _field("normalize by the statistics of the global batch", False)
    precise_bn: int = _field("batches whose BN statistics are averaged at the end", 0)
    micro_batches: int = _field("parts of a batch that go through the network in turns", 1)
    schedule: Schedule = _field(
        "step divides by ten at the boundaries; the others fall to 0", "step"
    )
    boundaries: tuple[int, ...] = _field("steps, separated by commas", ())
    warmup_steps: int = _field("the rate rises in so many", 0)
    warmup_rate: float = _field("where it rises from", 0.0)
    warmup_error: float = _field("a tenth of the rate until the training error is below", 0.0)
    loss: Loss = _field("cross-entropy of one choice, or of a yes or no for each class", "softmax")
    label_smoothing: float = _field("share of the target spread over all classes", 0.0)
    target_threshold: float = _field("of a sigmoid loss: targets above it count as 1", 0.0)
    augmentation: Augmentation = _field("how training images are cut and mirrored", "none")
    colour: Colour = _field("how their colours change", "none")
    policy: Policy = _field("a search space of further changes", "none")
    magnitude: float = _field("of randaugment, of at most 1", 0.9)
    erasing: float = _field("share of training images that lose a rectangle", 0.0)
    mixup: float = _field("alpha of mixing images pair by pair; 0 for none", 0.0)
    cutmix: float = _field("alpha of mixing rectangles pair by pair; 0 for none", 0.0)
    repeats: int = _field("times that an image comes in a row, differently augmented", 1)
    preprocessing: str = _field(f"one of {', '.join(PREPROCESSING)}", "per_pixel")
    image_size: int = _field("pixels a side", 32)
    test_size: int = _field("of test images, if they differ; 0 for the same", 0)
    crop: float = _field("share of a side that test images keep; 0 for 7/8 after random crops", 0.0)
    init_weights: str = _field("a file, URL or hf://owner/name to start from", "")
    quantize: bool = _field("fold the first weights, and train with the rounding of int8", False)
    freeze: tuple[str, ...] = _field("parts that do not learn: stem, stage1, ... head", ())
    freeze_steps: int = _field("steps after which they learn too; 0 for never", 0)
    stage_rate: float = _field("rate of each part over that of the next, towards the head", 1.0)
    seed: int = _field("of the first weights, the order of the data, and the augmentation", 0)
    max_broken: int = _field("images that cannot be decoded and are left out before an error", 10)
    validation: int = _field("training examples to hold out, and to evaluate on instead", 0)
    log_every: int = _field("steps between progress lines", 100)
    eval_every: int = _field("steps between evaluations", 1000)
    save_every: int = _field("steps between checkpoints", 500)
    fields: Mapping[str, Any] = field(default_factory=dict)  # of the spec that differ
    source: str = ""
    expected: str = ""

    def __post_init__(self) -> None:
        for name in ("boundaries", "freeze"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "fields", json.loads(json.dumps(dict(self.fields))))
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
        _choose("preprocessing", self.preprocessing, PREPROCESSING)
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
            raise ValueError("warmup_steps and warmup_error are two rules; give one of them")

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
        transfer.check_parts(family.spec(self.network, **self.fields), self.freeze)
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
        return cls(**json.loads(text))


def _choose(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {list(allowed)}, got {value!r}")


def _bound(name: str, value: float, low: float, high: float | None) -> None:
    if not low <= value < (float("inf") if high is None else high):
        allowed = f"at least {low}" if high is None else f"in [{low}, {high})"
        raise ValueError(f"{name} must be {allowed}, got {value!r}")


FLAGS = {f.name: f.metadata["help"] for f in fields(Recipe) if f.metadata}  # name to help
