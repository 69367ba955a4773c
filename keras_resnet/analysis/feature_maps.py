"""Feature maps: what a layer computes of images."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_resnet.analysis.arguments import fed, tensor_of
from keras_resnet.rewrite import graph

__all__ = ["feature_maps"]


def feature_maps(model: keras.Model, images: Any, layer: str) -> np.ndarray[Any, Any]:
    """Computes the output of a layer in inference.

    Args:
        model: a network of this package, or another functional model.
        images: [batch, height, width, channels] of any float dtype, preprocessed for the network.
        layer: an endpoint, such as "stage3", or the name of a layer.

    Returns:
        float32 [batch, h, w, filters].

    Raises:
        TypeError: if it is not a Keras model.
        ValueError: for a model without a graph, for a layer that is unknown or has no feature map,
            and for images of another shape than that of the input.
    """
    functional = graph.functional(model, "feature_maps")
    wanted = tensor_of(model, functional, layer)
    values = graph.evaluate(functional, fed(functional, images), wanted)
    return ops.convert_to_numpy(ops.cast(values, "float32"))
