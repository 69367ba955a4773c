"""Every hyper-parameter of a training.

All time is counted in steps; an epoch is only a way to write a number of them.
"""

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from keras_resnet import family, preprocessing, transfer

Augmentation = Literal["none", "shift", "shift_flip", "random_resized_crop", "scale_jitter"]
Schedule = Literal["step", "cosine"]
POSITIVE = (
    "steps", "batch_size", "micro_batches", "image_size", "log_every", "eval_every", "save_every",
)  # fmt: skip
NOT_NEGATIVE = (
    "learning_rate", "weight_decay", "clip_norm", "warmup_steps", "validation", "seed",
    "freeze_steps",
)  # fmt: skip
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
    momentum: float = _field("of SGD", 0.9)
    nesterov: bool = _field("look ahead by the momentum", False)
    weight_decay: float = _field(
        "the paper's: adds weight_decay * w to the gradient of each weight, coupled", 1e-4
    )
    decay_norms: bool = _field("decay also BN and biases, as the paper", True)
    clip_norm: float = _field("longest gradient of the global batch; 0 for any", 0.0)
    micro_batches: int = _field("parts of a batch that go through the network in turns", 1)
    schedule: Schedule = _field("step divides by ten at the boundaries", "step")
    boundaries: tuple[int, ...] = _field("steps, separated by commas", ())
    warmup_steps: int = _field("the rate rises from 0 in so many", 0)
    warmup_error: float = _field("a tenth of the rate until the training error is below", 0.0)
    label_smoothing: float = _field("share of the target spread over all classes", 0.0)
    augmentation: Augmentation = _field("random changes to training images", "none")
    preprocessing: str = _field(f"one of {', '.join(PREPROCESSING)}", "per_pixel")
    image_size: int = _field("pixels a side", 32)
    init_weights: str = _field("a file, URL or hf://owner/name to start from", "")
    freeze: tuple[str, ...] = _field("parts that do not learn: stem, stage1, ... head", ())
    freeze_steps: int = _field("steps after which they learn too; 0 for never", 0)
    stage_rate: float = _field("rate of each part over that of the next, towards the head", 1.0)
    seed: int = _field("of the first weights, the order of the data, and the augmentation", 0)
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
        _choose("schedule", self.schedule, get_args(Schedule))
        _choose("augmentation", self.augmentation, get_args(Augmentation))
        _choose("preprocessing", self.preprocessing, PREPROCESSING)
        for name in POSITIVE:
            _bound(name, getattr(self, name), 1, None)
        for name in NOT_NEGATIVE:
            _bound(name, getattr(self, name), 0, None)
        if self.batch_size % self.micro_batches:
            raise ValueError(
                f"batch_size={self.batch_size} cannot be split into {self.micro_batches}"
                " micro_batches"
            )
        for name in ("momentum", "warmup_error", "label_smoothing"):
            _bound(name, getattr(self, name), 0, 1)
        if (
            list(self.boundaries) != sorted(set(self.boundaries))
            or min(self.boundaries, default=1) < 1
        ):
            raise ValueError(f"boundaries must be increasing steps, got {self.boundaries}")
        if self.warmup_steps and self.warmup_error:
            raise ValueError("warmup_steps and warmup_error are two rules; give one of them")
        self._check_transfer()

    def _check_transfer(self) -> None:
        transfer.check_parts(family.spec(self.network, **self.fields), self.freeze)
        if not 0 < self.stage_rate <= 1:
            raise ValueError(f"stage_rate must be in (0, 1], got {self.stage_rate!r}")
        if self.freeze_steps and not self.freeze:
            raise ValueError(f"freeze_steps={self.freeze_steps} needs parts to freeze")
        if self.init_weights:
            return
        if self.freeze or self.preprocessing == "weights":
            raise ValueError(
                f"freeze={','.join(self.freeze)!r} and preprocessing={self.preprocessing!r} need"
                " init_weights: what is frozen has to have learned something"
            )

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
