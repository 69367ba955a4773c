"""Fine-tuning: which parts of a network learn, and how fast.

A network's parts are its stem, its stages, and its head, the classifier. Early ones hold what most
images have in common (Yosinski et al., arXiv:1411.1792) and need to learn little or nothing.
"""

import re
from collections.abc import Collection

import keras

from keras_resnet.network import ResidualNetwork
from keras_resnet.specs import Spec
from keras_resnet.weights import SOURCES


def part(spec: Spec, layer: str) -> str:
    """Returns which of `spec.parts` the layer of a name belongs to."""
    if match := re.match(r"stem|stage\d+", layer):
        return match[0]
    # The last normalization of a pre-activation net closes its last stage.
    return spec.parts[-2] if layer.startswith("final") else "head"


def freeze(model: ResidualNetwork, frozen: Collection[str] = ()) -> None:
    """Freezes exactly these parts, and lets all others learn; none unfreezes all.

    The weights of a frozen part stay as they are and its batch normalizations use their moving
    statistics, in training too. Normalizations whose statistics are folded into them, those of
    Detectron, stay frozen everywhere.

    Raises:
        ValueError: for a name that is none of `model.spec.parts`.
    """
    check_parts(model.spec, frozen)
    folded = bool(
        model.manifest
        and model.manifest.source
        and SOURCES[model.manifest.source["name"]].frozen_norms
    )
    for layer in model.layers:
        norm = isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = part(model.spec, layer.name) not in frozen and not (norm and folded)


def rates(model: ResidualNetwork, ratio: float) -> list[float]:
    """Returns the share of the learning rate that each of `model.trainable_variables` gets.

    Discriminative rates (Howard & Ruder, arXiv:1801.06146, section 3.2): 1 in the head, and
    `ratio` times the next part's in every part before.
    """
    order = model.spec.parts[::-1]
    layers = [variable.path.partition("/")[0] for variable in model.trainable_variables]
    return [ratio ** order.index(part(model.spec, layer)) for layer in layers]


def check_parts(spec: Spec, names: Collection[str]) -> None:
    """Raises ValueError if one of the names is no part of a network."""
    unknown = sorted(set(names) - set(spec.parts))
    if unknown:
        raise ValueError(f"the parts are {', '.join(spec.parts)}; got {', '.join(unknown)}")
