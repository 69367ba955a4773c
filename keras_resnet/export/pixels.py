"""A network and how its pixels are normalized, as one graph that formats are converted from."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras

from keras_resnet.export import head
from keras_resnet.manifest import Manifest

ROUNDED_POOL = "pool_int8"  # what rounds the features of a network that was trained to round


def rounds(network: keras.Model) -> bool:
    """Tells whether a network was trained to round as int8 does, and knows its ranges."""
    return any(layer.name == ROUNDED_POOL for layer in network.layers)


@head.float32_policy()
def from_pixels(
    network: keras.Model,
    manifest: Manifest,
    normalize: Callable[[Any], Any] | None = None,
) -> keras.Model:
    """Returns a model from `images`, float32 [batch, height, width, channels] of 0..255.

    It returns `probabilities` and `logits` [batch, classes] and the pooled `features`
    [batch, filters], by these names; no `probabilities` if the activation of the manifest is
    "none".

    Args:
        network: maps normalized pixels to logits, as `fold` makes it.
        manifest: the shape of images, how they are normalized, and what follows the logits.
        normalize: normalizes images in another way, once their channels are in order.
    """
    scaling = manifest.known_preprocessing()
    pool = network.get_layer(ROUNDED_POOL if rounds(network) else "pool")
    inner = keras.Model(network.input, [network.output, pool.output], name="network")
    images = keras.Input(manifest.image_shape, dtype="float32", name="images")
    ordered = images
    if scaling.bgr:
        # Not by reversing: TFLite's converter gives what it reversed a scale of its own in int8,
        # which the kernel never applies.
        ordered = keras.ops.take(images, range(manifest.image_shape[-1])[::-1], axis=-1)
    logits, features = inner((normalize or replace(scaling, bgr=False).normalize)(ordered))
    outputs = {**head.answers(logits, manifest), "features": features}
    # Names that were counted would differ from run to run.
    return keras.Model(images, outputs, name="from_pixels")
