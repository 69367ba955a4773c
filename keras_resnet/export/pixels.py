"""One graph from pixels to predictions, from which TFLite, ONNX and OpenVINO files are made."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras

from keras_resnet import specs
from keras_resnet.export import head
from keras_resnet.manifest import Manifest

__all__ = ["from_pixels", "rounds"]

ROUNDED_POOL = specs.rounding_of(
    specs.POOL
)  # rounds the features of a network that was trained to round


def rounds(network: keras.Model) -> bool:
    """Whether a network was trained to round as int8 does, so that it knows its own ranges."""
    return any(layer.name == ROUNDED_POOL for layer in network.layers)


@head.float32_policy()
def from_pixels(
    network: keras.Model,
    manifest: Manifest,
    normalize: Callable[[Any], Any] | None = None,
) -> keras.Model:
    """Returns a model from `images`, float32 [batch, height, width, channels] of 0..255.

    Its outputs are a dictionary of float32: `probabilities` and `logits` [batch, classes] and the
    pooled `features` [batch, filters]; without `probabilities` if the manifest's activation is
    "none".

    Args:
        network: maps normalized pixels to logits, as `fold` makes it.
        manifest: the shape of images, how they are normalized, and what follows the logits.
        normalize: replaces the normalization of the manifest; it is given images whose channels
            are in the network's order.
    """
    preprocessing = manifest.known_preprocessing()
    pool = network.get_layer(ROUNDED_POOL if rounds(network) else specs.POOL)
    inner = keras.Model(network.input, [network.output, pool.output], name="network")
    images = keras.Input(manifest.image_shape, dtype="float32", name="images")
    ordered = images
    if preprocessing.bgr:
        # Not by reversing: in int8 TFLite's converter gives a reversed tensor another scale, which
        # the kernel never applies.
        ordered = keras.ops.take(images, range(manifest.image_shape[-1])[::-1], axis=-1)
    if normalize is None:
        normalize = replace(preprocessing, bgr=False).normalize
    logits, features = inner(normalize(ordered))
    outputs = {**head.answers(logits, manifest), "features": features}
    # An explicit name: Keras's own are numbered, and would differ from run to run.
    return keras.Model(images, outputs, name="from_pixels")
