"""Requests that TensorFlow Serving replays before it takes those of users.

The first request of each shape is slow: memory is allocated, kernels are chosen.
"""

from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_resnet.manifest import Manifest
from keras_resnet.preprocessing import decoding

__all__ = ["write"]

FILE = "assets.extra/tf_serving_warmup_requests"  # where TensorFlow Serving looks for it
BATCHES = (1, 8)


def write(manifest: Manifest, directory: Path) -> None:
    """Writes requests of 1 and of 8 grey images for the two signatures that classify.

    Args:
        manifest: says the shape of images.
        directory: of the SavedModel.
    """
    height, width, channels = manifest.image_shape
    image = np.full((height, width, channels), 127, np.uint8)
    encoded = tf.io.encode_png(image).numpy() if channels in decoding.CHANNELS else None
    file = directory / FILE
    file.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for count in BATCHES:
            pixels = np.repeat(image[np.newaxis].astype(np.float32), count, 0)
            writer.write(_record("serving_default", "images", pixels))
            if encoded:
                values = np.array([encoded] * count)
                writer.write(_record("predict_bytes", "image_bytes", values))


def _record(signature: str, name: str, values: np.ndarray) -> bytes:
    from tensorflow_serving.apis import prediction_log_pb2

    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.model_spec.signature_name = signature
    request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    return log.SerializeToString(deterministic=True)
