"""Small networks of every kind that the fields of a spec can describe."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import keras
import numpy as np
import pytest

from keras_resnet import resnet

KINDS = {
    "v1": {},
    "v1.5": {"stride_on": "3x3"},
    "v2": {"stride_on": "3x3", "preact": True},
    "v2-first": {"preact": True},
    "deep": {"stride_on": "3x3", "stem": ((3, 4, 2), (3, 4), (3, 6))},
    "cifar": {"stem": ((3, 6),), "stem_pool": None},
    "ceil": {"stem_pool": "ceil"},
    "last": {"stride_block": "last"},
    "same": {"stride_on": "3x3", "padding": "same"},
    "v2-keras": {"stride_on": "3x3", "preact": True, "stride_block": "last", "stem_norm": False},
}
BRANCHES = {
    "basic": ((3, 1), (3, 1)),
    "bottleneck": ((1, 1), (3, 1), (1, 4)),
}
NARROW = {"stem": ((7, 6, 2),), "repeats": (2, 2), "classes": 5}


@dataclass(frozen=True)
class Variant:
    name: str
    fields: dict[str, Any] = field(compare=False)

    def __str__(self) -> str:
        return self.name

    def build(self, **arguments: Any) -> keras.Model:
        return resnet("resnet18", **{**self.fields, **arguments})


def _variants() -> list[Variant]:
    shortcuts: dict[str, dict[str, Any]] = {
        "A": {"shortcut": "A"},
        "A-around": {"shortcut": "A", "zero_channels": "around"},
        **{option: {"shortcut": option} for option in "BCD"},
        "plain": {"shortcut": None},
    }
    result = [
        Variant(f"{branch}-{kind}-{option}", {**NARROW, "branch": convs, **fields, **changes})
        for branch, convs in BRANCHES.items()
        for kind, fields in KINDS.items()
        for option, changes in shortcuts.items()
        if option != "plain" or kind in ("v1", "v1.5")
    ]
    wide = {**NARROW, "branch": ((1, 2), (3, 2), (1, 4)), "stride_on": "3x3"}
    return [*result, Variant("wide-v1.5-B", wide)]


ALL = _variants()


def _quick() -> set[str]:
    """Each kind with each option once, on one branch or the other in turns, and the rest."""
    names = set()
    options = ("A", "A-around", "B", "C", "D")
    for i, kind in enumerate(KINDS):
        for j, option in enumerate(options):
            names.add(f"{list(BRANCHES)[(i + j) % 2]}-{kind}-{option}")
    return names | {v.name for v in ALL if v.name.endswith("plain")} | {"wide-v1.5-B"}


def _all(quick: set[str]) -> pytest.MarkDecorator:
    """Parametrizes with all variants; those that are not in `quick` are slow."""
    marked = [v if v.name in quick else pytest.param(v, marks=pytest.mark.slow) for v in ALL]
    return pytest.mark.parametrize("variant", marked, ids=str)


QUICK = _quick()
every = _all(QUICK)
# Each kind once, with the options and branches in turns: for what no combination changes.
each_kind = _all({f"{list(BRANCHES)[i % 2]}-{k}-{'ABCD'[i % 4]}" for i, k in enumerate(KINDS)})


def randomize(model: keras.Model, seed: int = 0) -> None:
    """Gives each weight its own value, also those that start at 0 or 1."""
    random = np.random.default_rng(seed)
    for weight in model.weights:
        scale = 1 / np.sqrt(max(1, np.prod(weight.shape[:-1])))
        value = random.normal(0, scale, weight.shape)
        if weight.name in ("gamma", "moving_variance"):
            value = random.uniform(0.5, 1.5, weight.shape)
        weight.assign(value.astype("float32"))


def weights_by_layer(model: keras.Model) -> dict[str, list[np.ndarray]]:
    """Returns float64 weights; those of a BN as gamma, beta, mean, variance."""
    return {
        layer.name: [np.float64(value) for value in layer.get_weights()]
        for layer in model.layers
        if layer.weights
    }


def copy(source: keras.Model, target: keras.Model) -> None:
    """Copies by layer name: Keras orders layers by depth, which a dropout changes."""
    for layer in source.layers:
        if layer.weights:
            target.get_layer(layer.name).set_weights(layer.get_weights())


@lru_cache
def model(variant: Variant) -> keras.Model:
    """Builds a variant once; it returns endpoints, and its weights are random."""
    built = variant.build(endpoints=True)
    randomize(built)
    return built


@lru_cache
def start(variant: Variant) -> keras.Model:
    """Builds a variant once, as a training would find it; it returns logits."""
    return variant.build(classifier_activation=None)


def images(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype("float32")
