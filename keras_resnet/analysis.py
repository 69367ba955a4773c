"""What a network costs, and where in an image it finds its evidence."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers, ops

from keras_resnet.family import FAMILY
from keras_resnet.quantization import FakeQuantize, Scale


class Cost(NamedTuple):
    """The cost of one image; multiply-adds are what the paper's Table 1 calls FLOPs."""

    parameters: int  # trainable; BN's moving statistics are not
    multiply_adds: int  # of convolutions and classifier
    additions: int  # of a branch to its shortcut
    convolutions: int


def cost(model: keras.Model, image_shape: Sequence[int] | None = None) -> Cost:
    """Counts parameters, multiply-adds, and the additions of shortcuts.

    Args:
        model: of convolutions, batch normalizations and dense layers.
        image_shape: (height, width, channels), or only the first two; by default what the
            model's input says, or what the paper's numbers hold for if it says nothing.

    Raises:
        ValueError: if the size of an image is unknown or a layer cannot be counted.
    """
    weighted = [layer for layer in model.layers if layer.weights]
    convs = [layer for layer in weighted if isinstance(layer, layers.Conv2D)]
    known = (layers.Conv2D, layers.Dense, layers.BatchNormalization, FakeQuantize, Scale)
    unknown = [layer.name for layer in weighted if not isinstance(layer, known)]
    if unknown:
        raise ValueError(f"cannot count the multiply-adds of {', '.join(unknown)}")

    pixels = _output_pixels(model, convs, image_shape)
    dense = [layer for layer in weighted if isinstance(layer, layers.Dense)]
    return Cost(
        parameters=sum(math.prod(w.shape) for w in model.trainable_weights),
        multiply_adds=sum(n * math.prod(c.kernel.shape) for n, c in zip(pixels, convs, strict=True))
        + sum(math.prod(layer.kernel.shape) for layer in dense),
        additions=sum(isinstance(layer, layers.Add) for layer in model.layers),
        convolutions=len(convs),
    )


def _output_pixels(model: keras.Model, convs: list[Any], shape: Sequence[int] | None) -> list[int]:
    size = list(shape or model.input_shape[1:])[:2]
    if None in size and model.name in FAMILY:
        size = [FAMILY[model.name].image_size] * 2
    if None in size:
        raise ValueError(f"image_shape is needed: the input of {model.name} is {model.input_shape}")
    maps = keras.Model(model.inputs, [conv.output for conv in convs])
    shapes = maps.compute_output_shape((1, *size, model.input_shape[-1]))
    return [rows * columns for _, rows, columns, _ in shapes]


def grad_cam(model: keras.Model, images: Any, classes: Sequence[int] | None = None) -> Any:
    """Grad-CAM (arXiv:1610.02391) of the last feature map: where the evidence for a class is.

    Args:
        model: a network of this package with its classifier.
        images: [batch, height, width, channels], scaled as the network takes them.
        classes: one of each image; by default the best.

    Returns:
        float32 [batch, h, w] of 0..1, as large as the last feature map; 1 where the evidence is
        strongest, and 0 everywhere if nothing speaks for the class.

    Raises:
        ValueError: for a model without classifier, and for classes that are none of its own.
    """
    if not {"pool", "logits"} <= {layer.name for layer in model.layers}:
        raise ValueError(f"Grad-CAM needs a classifier: {model.name} has no pool and logits")
    head = model.get_layer("logits")
    outputs = [model.get_layer("pool").input, head.output]
    features, logits = keras.Model(model.input, outputs)(images, training=False)
    chosen = np.argmax(ops.convert_to_numpy(logits), 1) if classes is None else np.array(classes)
    if chosen.shape != logits.shape[:1] or chosen.dtype.kind != "i":
        raise ValueError(f"classes must be one integer for each of {len(logits)} images")
    if chosen.min() < 0 or chosen.max() >= logits.shape[1]:
        raise ValueError(f"classes must be in 0..{logits.shape[1] - 1}, got {chosen.tolist()}")
    return activation_maps(features, head.kernel, chosen[:, np.newaxis])[:, 0]


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
