"""Fine-tuning: which parts of a network are trained, and at which rate.

The parts of a network are its stem, its stages, and its head. Early parts compute features that
most images share (Yosinski et al., arXiv:1411.1792), and need little training or none.
"""

from collections.abc import Collection

import keras

from keras_resnet.network import ResidualNetwork, spec_of
from keras_resnet.weights import SOURCES

__all__ = ["freeze", "rates"]


def freeze(model: ResidualNetwork, frozen: str | Collection[str] | None = None) -> None:
    """Freezes the given parts, and unfreezes all others, by setting `layer.trainable`.

    In a frozen part weights do not change and batch normalizations use their moving statistics,
    also in training. Weights of Detectron have their statistics folded into scales and shifts: such
    normalizations stay frozen in all parts.

    Args:
        model: a network that this package built.
        frozen: names in `model.spec.parts`, or one name; `[]` unfreezes all parts.

    Raises:
        TypeError: without parts, or if the model is not a Keras model.
        ValueError: for an unknown name, and for a model that this package did not build.
    """
    spec = spec_of(model, "freeze")
    if frozen is None:
        raise TypeError(
            f"freeze needs the parts to freeze, of {', '.join(spec.parts)};"
            " freeze(model, []) unfreezes all"
        )
    frozen = [frozen] if isinstance(frozen, str) else list(frozen)
    spec.check_parts(frozen)
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
    """Returns a factor of the learning rate for each of `model.trainable_variables`.

    Discriminative rates (Howard & Ruder, arXiv:1801.06146, section 3.2): 1 in the head, `ratio` in
    the last stage, `ratio ** 2` in the stage before it, and so on to the stem.

    Args:
        model: a network that this package built.
        ratio: of the rate of a part to that of the next part.

    Raises:
        TypeError: if it is not a Keras model.
        ValueError: for a model that this package did not build.
    """
    spec = spec_of(model, "rates")
    order = spec.parts[::-1]
    parts = model.parts
    layers = [variable.path.partition("/")[0] for variable in model.trainable_variables]
    return [ratio ** order.index(parts[layer]) for layer in layers]
