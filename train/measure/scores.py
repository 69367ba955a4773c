"""Scores of images: logarithms of probabilities, which are averaged over what is seen of an image.

Averages are those of probabilities. Logarithms keep apart what rounds to 0, so that the most
probable classes of an image are found as among logits.
"""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from keras_resnet.specs import POOL

Inputs = Callable[[tf.Tensor], tf.Tensor]  # pixels -> input of a network
Scores = Callable[[tf.Tensor], tf.Tensor]


def of_crop(model: keras.Model, inputs: Inputs, columns: Sequence[int] | None) -> Scores:
    """Returns the function from one crop of each image to scores.

    Args:
        model: from its input to logits.
        inputs: normalizes pixels of 0..255.
        columns: the logits that are compared, in this order; None for all.

    Returns:
        A function from images [n, height, width, channels] to float32 [n, classes].
    """

    @tf.function(autograph=False, reduce_retracing=True)
    def scores(images: tf.Tensor) -> tf.Tensor:
        return _log_softmax(model(inputs(images), training=False), columns)

    return scores


def of_mirrored_crops(model: keras.Model, inputs: Inputs, columns: Sequence[int] | None) -> Scores:
    """Returns the function from several crops of each image to scores.

    Each crop and its mirror image goes through the network by itself.

    Args:
        model: as of `of_crop`.
        inputs: as of `of_crop`.
        columns: as of `of_crop`.

    Returns:
        A function from images [n, crops, height, width, channels] to float32 [n, classes].
    """

    @tf.function(autograph=False, reduce_retracing=True)
    def scores(images: tf.Tensor) -> tf.Tensor:
        every = tf.concat([images, tf.reverse(images, [3])], 1)
        crops = tf.reshape(every, [-1, *images.shape[2:]])
        each = _log_softmax(model(inputs(crops), training=False), columns)
        return _log_mean(tf.reshape(each, [-1, every.shape[1], each.shape[-1]]), [1])

    return scores


def of_whole(
    model: keras.Model, inputs: Inputs, columns: Sequence[int] | None, size: tuple[int, int]
) -> Scores:
    """Returns the function from whole images of any size to scores, in fully convolutional form.

    The classifier is a 1x1 convolution on the means of all windows of the last feature map, one
    pixel apart; the softmax follows at each position. A window is as large as the feature map of an
    image of `size`, so that it sees what the network was trained on, and an image of that size has
    one position. (A mean of the whole map of a larger image is something else: the classifier
    never saw a mean of so many pixels, and one softmax follows.)

    Args:
        model: as of `of_crop`, for images of any size, with a pooling layer before the classifier.
        inputs: as of `of_crop`.
        columns: as of `of_crop`.
        size: height and width of the images of the network.

    Returns:
        A function from images [n, height, width, channels] to float32 [n, classes], the average
        over positions and both mirror images.

    Source: arXiv:1512.03385, section 3.4, which refers to arXiv:1502.01852, section 4: "the fc
    layers are applied on the pooled features to compute the scores. This is also done on the
    horizontally flipped images. The scores of all dense sliding windows are averaged".
    """
    pool = model.get_layer(POOL)
    body = keras.Model(model.input, pool.input)
    head = keras.Model(pool.output, model.output)
    channels = model.input.shape[-1]
    window = body.compute_output_shape((1, *size, channels))[1:3]

    @tf.function(
        autograph=False, input_signature=[tf.TensorSpec([None, None, None, channels], tf.float32)]
    )
    def scores(images: tf.Tensor) -> tf.Tensor:
        both = tf.concat([images, tf.reverse(images, [2])], 0)
        features = tf.cast(body(inputs(both), training=False), tf.float32)
        features = tf.nn.avg_pool2d(features, window, 1, "VALID")
        grid = tf.shape(features)
        flat = tf.reshape(features, [-1, features.shape[-1]])
        each = _log_softmax(head(flat, training=False), columns)
        each = tf.reshape(each, [2, -1, grid[1] * grid[2], each.shape[-1]])
        return _log_mean(each, [0, 2])

    return scores


def _log_softmax(logits: tf.Tensor, columns: Sequence[int] | None) -> tf.Tensor:
    kept = logits if columns is None else tf.gather(logits, list(columns), axis=-1)
    return tf.nn.log_softmax(tf.cast(kept, tf.float32))


def _log_mean(scores: tf.Tensor, axes: Sequence[int]) -> tf.Tensor:
    """Returns the logarithm of the mean of probabilities whose logarithms are given."""
    shape = tf.shape(scores)
    count = tf.reduce_prod([shape[axis] for axis in axes])
    return tf.reduce_logsumexp(scores, axes) - tf.math.log(tf.cast(count, tf.float32))
