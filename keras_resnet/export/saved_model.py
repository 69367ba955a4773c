"""A SavedModel: pixels or encoded images in, predictions out; each weight is written once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_resnet import specs
from keras_resnet.analysis.grad_cam import activation_maps
from keras_resnet.export import head, warmup
from keras_resnet.export.files import printable, writing
from keras_resnet.export.packages import require
from keras_resnet.export.source import Source
from keras_resnet.manifest import Manifest
from keras_resnet.preprocessing import decoding

__all__ = ["check_runtime", "runner", "write"]

Array = np.ndarray[Any, Any]
Outputs = dict[str, tf.Tensor]
MAX_BATCH = 128  # images per request: a thousand tiny files could decode to gigabytes of pixels
TOP = 5
LIMIT = 2**31 - 2**26  # bytes of weights: protobuf reads files of 2 GB, and the graph needs a share


def check_runtime(name: str = "saved_model") -> None:
    """Raises ValueError, which names the format, if a package that the format needs is missing."""
    require(name, {"tensorflow_serving": "tensorflow-serving-api"}, "serving")


class Endpoints:
    """The functions that are served. Each of them checks its input.

    Args:
        network: maps normalized pixels to logits; plain Keras layers, as `fold` makes it.
        manifest: how pixels are normalized, what follows the logits, and the labels.
        maps: names of feature maps, each with the layer whose output it is.
    """

    @head.float32_policy()
    def __init__(self, network: keras.Model, manifest: Manifest, maps: dict[str, str]) -> None:
        self._manifest = manifest
        self._preprocessing = manifest.known_preprocessing()
        self._shape = list(manifest.image_shape)
        self._maps = list(maps)
        pool = network.get_layer(specs.POOL)
        outputs = {name: network.get_layer(layer).output for name, layer in maps.items()}
        outputs["logits"] = network.output
        outputs["features"] = pool.output
        outputs["last"] = pool.input
        self._network = keras.Model(network.input, outputs)
        # Constants, not variables: only of constants does TensorFlow know that they never change,
        # and prepares their layout for oneDNN once instead of for every request. All signatures
        # capture the same tensors, which are therefore written once.
        self._weights = [tf.constant(weight.numpy()) for weight in self._network.weights]
        kernel = network.get_layer(specs.LOGITS).kernel
        places = [weight is kernel for weight in self._network.weights]
        self._classifier = self._weights[places.index(True)]

    def signatures(self) -> dict[str, Any]:
        """Returns the functions by the names of their signatures."""
        pixels = tf.TensorSpec([None, *self._shape], tf.float32, name="images")
        encoded = tf.TensorSpec([None], tf.string, name="image_bytes")
        found = {
            "serving_default": tf.function(self._predict, [pixels], autograph=False),
            "features": tf.function(self._features, [pixels], autograph=False),
            "endpoints": tf.function(self._feature_maps, [pixels], autograph=False),
        }
        if self._shape[-1] in decoding.CHANNELS:
            found["predict_bytes"] = tf.function(self._predict_bytes, [encoded], autograph=False)
            found["explain"] = tf.function(self._explain, [encoded], autograph=False)
        return found

    def _predict(self, images: tf.Tensor) -> Outputs:
        return head.answers(self._outputs(self._checked(images))["logits"], self._manifest)

    def _predict_bytes(self, image_bytes: tf.Tensor) -> Outputs:
        return self._best(self._outputs(self._decoded(image_bytes))["logits"])

    def _explain(self, image_bytes: tf.Tensor) -> Outputs:
        """Adds the images that the network saw, and where it saw each of the best classes."""
        images = self._decoded(image_bytes)
        outputs = self._outputs(images)
        answer = self._best(outputs["logits"])
        maps = activation_maps(outputs["last"], self._classifier, answer["classes"])
        seen = tf.cast(tf.round(tf.clip_by_value(images, 0, 255)), tf.uint8)
        return {**answer, "maps": maps, "images": seen}

    def _best(self, logits: tf.Tensor) -> Outputs:
        """Ranks classes by their logits, which still differ where probabilities round to 1."""
        names = tf.constant([printable(label) for label in self._manifest.labels])
        k = min(TOP, len(self._manifest.labels))
        classes = tf.math.top_k(logits, k, index_type=tf.int64).indices
        name, scores = next(iter(head.answers(logits, self._manifest).items()))
        found = tf.gather(scores, classes, batch_dims=1)
        return {"classes": classes, "labels": tf.gather(names, classes), name: found}

    def _features(self, images: tf.Tensor) -> Outputs:
        return {"features": self._outputs(self._checked(images))["features"]}

    def _feature_maps(self, images: tf.Tensor) -> Outputs:
        outputs = self._outputs(self._checked(images))
        return {name: tf.cast(outputs[name], tf.float32) for name in self._maps}

    def _outputs(self, images: tf.Tensor) -> Outputs:
        normalized = self._preprocessing.normalize(images)
        # A folded network has no trainable variables.
        outputs, _ = self._network.stateless_call([], self._weights, normalized, training=False)
        return outputs

    def _checked(self, images: tf.Tensor) -> tf.Tensor:
        # Signatures do not check shapes, and another rank would abort the server.
        images = tf.ensure_shape(images, [None, *self._shape])
        finite = tf.reduce_all(tf.math.is_finite(images))
        # Not left to the network: a fused ReLU turns NaN into 0, and the answer into garbage.
        checks = [_count(images), tf.debugging.Assert(finite, ["images hold NaN or infinity"])]
        with tf.control_dependencies(checks):
            return tf.identity(images)

    def _decoded(self, image_bytes: tf.Tensor) -> tf.Tensor:
        def pixels(data: tf.Tensor) -> tf.Tensor:
            return self._preprocessing.resize(decoding.decode(data, self._shape[-1]))

        image_bytes = tf.ensure_shape(image_bytes, [None])
        with tf.control_dependencies([_count(image_bytes)]):
            total_pixels = decoding.total(image_bytes)
        with tf.control_dependencies([total_pixels]):
            spec = tf.TensorSpec(self._shape, tf.float32)
            # One after the other, so that only one large image is in memory.
            return tf.map_fn(pixels, image_bytes, fn_output_signature=spec, parallel_iterations=1)


def _count(batch: tf.Tensor) -> tf.Operation:
    count = tf.shape(batch)[0]
    message = f"a request has 1 to {MAX_BATCH} images, this one has {{}}"
    return tf.debugging.Assert(
        (count > 0) & (count <= MAX_BATCH), [tf.strings.format(message, count)]
    )


def write(source: Source, path: Path) -> None:
    """Writes a SavedModel with its signatures, and the requests that warm it up.

    `keras.Model.export` would write each variable twice. Constants that all signatures capture are
    written once, and the same bytes from run to run.

    Args:
        source: the network.
        path: an existing directory.

    Raises:
        ValueError: for weights of 2 GB or more.
        OSError: if the files cannot be written.
    """
    _check_size(source.network)
    module = tf.Module(name=source.manifest.network)
    signatures = Endpoints(source.network, source.manifest, source.endpoints).signatures()
    with writing(path):
        tf.saved_model.save(module, str(path), signatures=signatures)
        warmup.write(source.manifest, path)


def _check_size(network: keras.Model) -> None:
    """Raises ValueError if `saved_model.pb`, which holds the weights, could not be read."""
    size = sum(weight.numpy().nbytes for weight in network.weights)
    if size > LIMIT:
        raise ValueError(
            f"a SavedModel holds {LIMIT / 1e9:.1f} GB of weights, this network has"
            f" {size / 1e9:.1f} GB; --precision=bfloat16 halves them"
        )


def runner(path: Path) -> Callable[[Array], Array]:
    """Returns a function from float32 images of 0..255 to the float32 logits of a SavedModel."""
    loaded = tf.saved_model.load(str(path))

    def logits(images: Array) -> Array:
        # Through `loaded`: a signature alone does not keep what it captures alive.
        return loaded.signatures["serving_default"](images=tf.constant(images))["logits"].numpy()

    return logits
