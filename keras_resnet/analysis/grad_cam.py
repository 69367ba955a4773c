"""Grad-CAM (arXiv:1610.02391): which regions of an image are evidence for a class."""

from typing import Any

import keras
import numpy as np
from keras import KerasTensor as Tensor, layers, ops

from keras_resnet.rewrite import graph
from keras_resnet.specs import LOGITS, POOL

__all__ = ["activation_maps", "grad_cam"]


def grad_cam(model: keras.Model, images: Any, classes: Any = None) -> Any:
    """Computes Grad-CAM (arXiv:1610.02391) for the last feature map.

    Gradients are those of the logits, whatever activation follows. A head with one output has one
    class, 0: the maps show evidence for the positive class, also if the prediction is negative.

    Args:
        model: a network of this package with its classifier.
        images: [batch, height, width, channels] of any float dtype, preprocessed for the network.
        classes: an integer per image, in an array or list; by default the class with the highest
            logit.

    Returns:
        float32 [batch, h, w] between 0 and 1, of the size of the last feature map: 1 where the
        evidence is strongest, and 0 everywhere if there is none.

    Raises:
        TypeError: if it is not a Keras model.
        ValueError: for a model without a classifier, with another model as a layer, or with layers
            between average pooling and classifier; and for classes that are not integers in the
            range of the classifier.
    """
    functional = graph.functional(model, "grad_cam")
    last, head = _head(functional)
    outputs = [last, head.outputs[0]]
    features, logits = keras.Model(functional.input, outputs)(images, training=False)
    if classes is None:
        classes = np.argmax(ops.convert_to_numpy(logits), 1)
    chosen = np.asarray(ops.convert_to_numpy(classes) if ops.is_tensor(classes) else classes)
    if chosen.shape != tuple(logits.shape[:1]) or chosen.dtype.kind not in "iu":
        raise ValueError(f"classes must be one integer per image, for {len(logits)} images")
    if chosen.min() < 0 or chosen.max() >= logits.shape[1]:
        raise ValueError(f"classes must be in 0..{logits.shape[1] - 1}, got {chosen.tolist()}")
    return activation_maps(features, head.operation.kernel, chosen.astype("int64")[:, np.newaxis])[
        :, 0
    ]


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
    maps = ops.einsum("bhwf,bkf->bkhw", ops.cast(features, "float32"), weights)
    highest = ops.max(maps, axis=(2, 3), keepdims=True)
    return ops.relu(maps) / ops.where(highest > 0, highest, 1.0)
