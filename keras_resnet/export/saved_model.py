"""A SavedModel: RGB pixels in, probabilities out, and every variable written once."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_resnet.manifest import Manifest


class Served(tf.Module):
    """What is served: preprocessing, network and softmax, with the input's shape guarded.

    `keras.Model.export` would write each variable twice. A module that holds them in a list
    writes them once, and the same bytes from run to run.
    """

    def __init__(self, model: keras.Model, manifest: Manifest) -> None:
        super().__init__(name=manifest.network)
        self._variables = [weight.value for weight in model.weights]
        shape = [None, *manifest.image_shape]

        @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name="images")])
        def predict(images: tf.Tensor) -> dict[str, tf.Tensor]:
            # Signatures do not check shapes, and another rank would abort the server.
            images = tf.ensure_shape(images, shape)
            logits = model(manifest.preprocessing.normalize(images), training=False)
            return {"logits": logits, "probabilities": tf.nn.softmax(logits)}

        self.predict = predict


def write(model: keras.Model, manifest: Manifest, directory: Path) -> None:
    """Writes a SavedModel with the one signature `serving_default`."""
    served = Served(model, manifest)
    tf.saved_model.save(served, str(directory), signatures={"serving_default": served.predict})


def run(directory: Path, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Returns the logits that the SavedModel in a directory computes, [batch, classes]."""
    signature = tf.saved_model.load(str(directory)).signatures["serving_default"]
    return signature(images=tf.constant(images))["logits"].numpy()
