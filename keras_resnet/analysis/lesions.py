"""Lesion study: which blocks does a residual network need? (Veit et al., arXiv:1605.06431)"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import KerasTensor as Tensor, ops

from keras_resnet.analysis.arguments import batches, classes_of, logits_of
from keras_resnet.network import ResidualNetwork, spec_of
from keras_resnet.rewrite import graph
from keras_resnet.specs import Place

__all__ = ["Lesions", "lesion"]

WHOLE = ""  # in place of the name of a block: no branch is removed


@dataclass(frozen=True)
class Lesions:
    """Accuracy of a network, whole and with one branch removed; percentages of the images."""

    accuracy: float
    without: dict[str, float]  # by the name of the block whose branch is removed, in their order
    changing: tuple[str, ...]  # blocks whose shortcut is no identity: it projects, pads or strides


def lesion(model: ResidualNetwork, images: Any, labels: Any, *, batch_size: int = 32) -> Lesions:
    """Measures accuracy with each residual branch removed, one at a time (arXiv:1605.06431).

    Without its branch a block passes on its shortcut, also where that projects, pads or strides,
    and the activation that follows. The other layers stay as they are.

    Args:
        model: a residual network of this package with a classifier of at least two classes.
        images: [batch, height, width, channels] of any float dtype, preprocessed for the network.
        labels: an integer per image, in an array, a tensor or a list.
        batch_size: images that are computed at a time; it does not change the result.

    Returns:
        Accuracy of the whole network, and without each block's branch.

    Raises:
        TypeError: if it is not a Keras model.
        ValueError: for a plain network, which has no branches; for a model that this package did
            not build, or without such a classifier; and for labels that are not integers in the
            range of the classifier.
    """
    spec = spec_of(model, "lesion")
    if spec.shortcut is None:
        raise ValueError(f"lesion needs shortcuts, {model.name} has none: it is a plain network")
    functional = graph.functional(model, "lesion")
    logits = logits_of(functional, "lesion")
    if logits.shape[-1] == 1:
        raise ValueError(f"lesion needs at least two classes, {model.name} has one output")
    classes = classes_of("labels", labels, len(images), logits.shape[-1])
    nodes = {node.operation.name: node for node in graph.calls(functional)}
    additions = {place.name: nodes[place.add] for place in spec.places()}
    right: Counter[str] = Counter()
    done = 0
    for known in batches(functional, images, batch_size):
        for name, scores in _scores(functional, additions, known, logits):
            found = np.argmax(ops.convert_to_numpy(scores), 1)
            right[name] += int(np.sum(found == classes[done : done + len(found)]))
        done += len(found)
    share = {name: 100 * right[name] / done for name in [WHOLE, *additions]}
    changing = [place.name for place in spec.places() if _changes(additions[place.name], place)]
    return Lesions(share.pop(WHOLE), share, tuple(changing))


def _changes(addition: graph.Node, place: Place) -> bool:
    """Whether layers of its own compute the shortcut of a block."""
    return graph.producer(addition.input_tensors[0]).name.startswith(place.shortcut)


def _scores(
    functional: keras.Model, additions: dict[str, graph.Node], known: dict[int, Any], logits: Tensor
) -> Iterator[tuple[str, Any]]:
    """Yields the name of each block with the logits without its branch, then all branches'.

    What comes before a block is computed once.
    """
    for name, addition in additions.items():
        shortcut, _ = addition.input_tensors
        (total,) = addition.outputs
        passed = graph.evaluate(functional, known, shortcut)
        yield name, graph.evaluate(functional, {id(total): passed}, logits)
        known = {id(total): graph.evaluate(functional, known, total)}
    yield WHOLE, graph.evaluate(functional, known, logits)
