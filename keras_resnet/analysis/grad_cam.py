"""Where in an image a network finds the evidence for a class (Grad-CAM, arXiv:1610.02391)."""

from typing import Any

import keras
import numpy as np
from keras import KerasTensor as Tensor, layers, ops

from keras_resnet.rewrite import graph
from keras_resnet.specs import LOGITS, POOL

__all__ = ["activation_maps", "grad_cam"]


def grad_cam(model: keras.Model, images: Any, classes: Any = None) -> Any:
    """Grad-CAM (arXiv:1610.02391) of the last feature map: where the evidence for a class is.

    What counts are logits, whatever activation follows. A head of one output has one class, 0: the
    maps then show what speaks for the positive class, also where the answer is the negative one.

    Args:
        model: a network of this package with its classifier.
        images: [batch, height, width, channels], scaled as the network takes them.
        classes: an integer for each image, in any array or list; by default the best.

    Returns:
        float32 [batch, h, w] of 0..1, as large as the last feature map; 1 where the evidence is
        strongest, and 0 everywhere if nothing speaks for the class.

    Raises:
        TypeError: if it is not a Keras model.
        ValueError: for a model without classifier, with another model as a layer, or with layers
            between the average and the classifier; and for other classes than the model has.
    """
    functional = graph.functional(model, "grad_cam")
    last, head = _head(functional)
    outputs = [last, head.outputs[0]]
    features, logits = keras.Model(functional.input, outputs)(images, training=False)
    if classes is None:
        classes = np.argmax(ops.convert_to_numpy(logits), 1)
    chosen = np.asarray(ops.convert_to_numpy(classes) if ops.is_tensor(classes) else classes)
    if chosen.shape != tuple(logits.shape[:1]) or chosen.dtype.kind not in "iu":
        raise ValueError(f"classes must be one integer for each of {len(logits)} images")
    if chosen.min() < 0 or chosen.max() >= logits.shape[1]:
        raise ValueError(f"classes must be in 0..{logits.shape[1] - 1}, got {chosen.tolist()}")
    return activation_maps(features, head.operation.kernel, chosen.astype("int64")[:, np.newaxis])[
        :, 0
    ]


def _head(functional: keras.Model) -> tuple[Tensor, graph.Node]:
    """Returns the last feature map, and the call of the classifier that reads its average."""
    called = {node.operation.name: node for node in graph.calls(functional)}
    if not {POOL, LOGITS} <= called.keys():
        raise ValueError(
            f"Grad-CAM needs a classifier: {functional.name} has no pool and logits, as networks of"
            " keras_resnet have"
        )
    head = called[LOGITS]
    before = LOGITS
    while before == LOGITS or isinstance(called[before].operation, layers.Dropout):
        before = graph.producer(called[before].input_tensors[0]).name
    pool = called[POOL]
    if before != POOL or not isinstance(pool.operation, layers.GlobalAveragePooling2D):
        raise ValueError(
            f"Grad-CAM needs a classifier that reads the average; that of {functional.name} reads"
            f" {before}"
        )
    return pool.input_tensors[0], head


def activation_maps(features: Any, kernel: Any, classes: Any) -> Any:
    """Grad-CAM without gradients, for networks that end in an average and a dense layer.

    There d logit / d feature is the same at each place: an entry of the kernel, over the number of
    places. The weighted sum is that of class activation maps (arXiv:1512.04150).

    Args:
        features: the last feature map, [batch, h, w, filters].
        kernel: of the classifier, [filters, classes].
        classes: integers [batch, k].

    Returns:
        float32 [batch, k, h, w], each map divided by its largest value.
    """
    weights = ops.take(ops.transpose(ops.cast(kernel, "float32")), classes, axis=0)
    maps = ops.einsum("bhwf,bkf->bkhw", ops.cast(features, "float32"), weights)
    highest = ops.max(maps, axis=(2, 3), keepdims=True)
    return ops.relu(maps) / ops.where(highest > 0, highest, 1.0)
