"""Grad-CAM (arXiv:1610.02391): which regions of an image are evidence for a class."""

from typing import Any

import keras
import numpy as np
from keras import KerasTensor as Tensor, layers, ops

from keras_resnet.analysis.arguments import classes_of, fed, logits_of, tensor_of
from keras_resnet.analysis.gradients import value_and_gradients
from keras_resnet.rewrite import graph
from keras_resnet.specs import LOGITS, POOL

__all__ = ["activation_maps", "grad_cam"]


def grad_cam(
    model: keras.Model, images: Any, classes: Any = None, *, layer: str | None = None
) -> Any:
    """Computes Grad-CAM (arXiv:1610.02391) for the last feature map, or that of another layer.

    Gradients are those of the logits, whatever activation follows. A head with one output has one
    class, 0: the maps show evidence for the positive class, also if the prediction is negative.

    Args:
        model: a network of this package with its classifier.
        images: [batch, height, width, channels] of any float dtype, preprocessed for the network.
        classes: an integer per image, in an array or list; by default the class with the highest
            logit.
        layer: an endpoint, such as "stage3", or the name of a layer. By default the last feature
            map, which needs no gradients.

    Returns:
        float32 [batch, h, w] between 0 and 1, of the size of the feature map: 1 where the evidence
        is strongest, and 0 everywhere if there is none.

    Raises:
        TypeError: if it is not a Keras model.
        ValueError: for a model without a classifier, with another model as a layer, or, for the
            last feature map, with layers between average pooling and classifier; for classes that
            are not integers in the range of the classifier; for a layer that is unknown or has no
            feature map; and, with a layer, for a backend that computes no gradients.
    """
    functional = graph.functional(model, "grad_cam")
    if layer is not None:
        return _by_gradients(functional, tensor_of(model, functional, layer), images, classes)
    last, head = _head(functional)
    outputs = [last, head.outputs[0]]
    features, logits = keras.Model(functional.input, outputs)(images, training=False)
    chosen = _chosen(classes, logits)
    return activation_maps(features, head.operation.kernel, chosen[:, np.newaxis])[:, 0]


def _chosen(classes: Any, logits: Any) -> Any:
    """Returns a class per image, by default that of the highest logit."""
    if classes is None:
        classes = np.argmax(ops.convert_to_numpy(logits), 1)
    return classes_of("classes", classes, *logits.shape)


def _by_gradients(functional: keras.Model, tensor: Tensor, images: Any, classes: Any) -> Any:
    """Equations 1 and 2 of the paper, at any tensor on the way to the logits."""
    wanted = logits_of(functional, "Grad-CAM")
    known = fed(functional, images)
    features = graph.evaluate(functional, known, tensor)
    logits = graph.evaluate(functional, {**known, id(tensor): features}, wanted)
    chosen = _chosen(classes, logits)

    def score(values: list[Any]) -> Any:
        logits = graph.evaluate(functional, {**known, id(tensor): values[0]}, wanted)
        return ops.sum(ops.take_along_axis(logits, chosen[:, np.newaxis], axis=1))

    _, (gradient,) = value_and_gradients(score, [features])
    weights = ops.mean(ops.cast(gradient, "float32"), axis=(1, 2))
    maps = ops.einsum("bhwf,bf->bhw", ops.cast(features, "float32"), weights)
    return _evidence(maps)


def _evidence(maps: Any) -> Any:
    """Returns the positive part of maps [..., h, w], each divided by its maximum."""
    highest = ops.max(maps, axis=(-2, -1), keepdims=True)
    return ops.relu(maps) / ops.where(highest > 0, highest, 1.0)


def _head(functional: keras.Model) -> tuple[Tensor, graph.Node]:
    """Returns the last feature map, and the call of the classifier."""
    called = {node.operation.name: node for node in graph.calls(functional)}
    if not {POOL, LOGITS} <= called.keys():
        raise ValueError(
            f"Grad-CAM needs a classifier: {functional.name} has no layers pool and logits, as"
            " networks of keras_resnet have"
        )
    head = called[LOGITS]
    before = LOGITS
    while before == LOGITS or isinstance(called[before].operation, layers.Dropout):
        before = graph.producer(called[before].input_tensors[0]).name
    pool = called[POOL]
    if before != POOL or not isinstance(pool.operation, layers.GlobalAveragePooling2D):
        raise ValueError(
            f"Grad-CAM needs a classifier after global average pooling; that of"
            f" {functional.name} reads {before}"
        )
    return pool.input_tensors[0], head


def activation_maps(features: Any, kernel: Any, classes: Any) -> Any:
    """Grad-CAM without gradients, for networks that end in average pooling and a dense layer.

    There the gradient of a logit with respect to a feature is the same at all positions: an entry
    of the kernel, divided by the number of positions. The weighted sum is that of class activation
    maps (arXiv:1512.04150).

    Args:
        features: the last feature map, [batch, h, w, filters], of any float dtype.
        kernel: of the classifier, [filters, classes], of any float dtype.
        classes: integers [batch, k].

    Returns:
        float32 [batch, k, h, w], each map divided by its maximum; 0 where a map is negative.
    """
    weights = ops.take(ops.transpose(ops.cast(kernel, "float32")), classes, axis=0)
    return _evidence(ops.einsum("bhwf,bkf->bkhw", ops.cast(features, "float32"), weights))
