"""Fine-tuning: which parts of a network learn, and how fast.

A network's parts are its stem, its stages, and its head, the classifier. Early ones hold what most
images have in common (Yosinski et al., arXiv:1411.1792) and need to learn little or nothing.
"""

from collections.abc import Collection

import keras

from keras_resnet.network import ResidualNetwork, spec_of
from keras_resnet.specs import Spec
from keras_resnet.weights import SOURCES

__all__ = ["check_parts", "freeze", "rates"]


def freeze(model: ResidualNetwork, frozen: str | Collection[str] | None = None) -> None:
    """Freezes exactly these parts, or this one, and lets all others learn.

    The weights of a frozen part stay as they are and its batch normalizations use their moving
    statistics, in training too. Normalizations whose statistics are folded into them, those of
    Detectron, stay frozen everywhere. `freeze(model, [])` lets all parts learn.

    Raises:
        TypeError: without parts, which could mean all or none.
        ValueError: for a name that is none of `model.spec.parts`, and for a model that this package
            did not build.
    """
    spec = spec_of(model, "freeze")
    if frozen is None:
        raise TypeError(
            f"freeze needs the parts to freeze, of {', '.join(spec.parts)};"
            " freeze(model, []) lets all learn"
        )
    frozen = [frozen] if isinstance(frozen, str) else list(frozen)
    check_parts(spec, frozen)
    folded = bool(
        model.manifest
        and model.manifest.source
        and SOURCES[model.manifest.source["name"]].frozen_norms
    )
    parts = model.parts
    for layer in model.layers:
        norm = isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = parts[layer.name] not in frozen and not (norm and folded)


def rates(model: ResidualNetwork, ratio: float) -> list[float]:
    """Returns the share of the learning rate that each of `model.trainable_variables` gets.

    Discriminative rates (Howard & Ruder, arXiv:1801.06146, section 3.2): 1 in the head, and
    `ratio` times the next part's in every part before.
    """
    spec = spec_of(model, "rates")
    order = spec.parts[::-1]
    parts = model.parts
    layers = [variable.path.partition("/")[0] for variable in model.trainable_variables]
    return [ratio ** order.index(parts[layer]) for layer in layers]


def check_parts(spec: Spec, names: Collection[str]) -> None:
    """Raises ValueError if a name is not a part of the network."""
    unknown = sorted(str(name) for name in set(names) - set(spec.parts))
    if unknown:
        raise ValueError(f"the parts are {', '.join(spec.parts)}; got {', '.join(unknown)}")
