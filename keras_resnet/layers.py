"""Two layers: one that Keras does not have, and one that is faster than Keras's."""

from typing import Any

import keras
from keras import KerasTensor as Tensor, ops

__all__ = ["FusedBatchNormalization", "PadChannels"]

FUSED_DTYPES = ("float32", "bfloat16", "float16")


@keras.saving.register_keras_serializable("keras_resnet")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalization (Ioffe & Szegedy, arXiv:1502.03167) with less traffic to memory.

    Arguments, weights and results are those of `keras.layers.BatchNormalization`. On TensorFlow it
    is one kernel; on JAX both moments of a batch are taken from one pass over it. Keras's
    implementation is used on other backends, and where the kernel has no support: another axis or
    rank, float64, masks and renormalization; also `synchronized=True` on JAX, which it refuses.

    With `synchronized=True` the replicas of a `tf.distribute` strategy normalize by the moments of
    the global batch; all replica batches must have the same size.

    Input and output are [batch, height, width, channels] in float32, bfloat16 or float16; mean,
    variance and weights are float32 under every dtype policy. The moving variance averages the
    *biased* variance of the batch, as in Keras (Torch and the kernel itself use the unbiased one),
    so that a checkpoint does not depend on the backend that wrote it.
    """

    def call(self, inputs: Tensor, training: bool | None = None, mask: Any = None) -> Tensor:
        if not self._fuses(inputs, mask):
            return super().call(inputs, training=training, mask=mask)
        batch = bool(training and self.trainable)
        if keras.backend.backend() == "jax":
            return self._normalize_in_one_pass(inputs) if batch else super().call(inputs)
        import tensorflow as tf  # deferred: the library also runs where TensorFlow is absent

        gamma, beta, mean, variance = (
            tf.cast(weight, tf.float32)
            for weight in (self.gamma, self.beta, self.moving_mean, self.moving_variance)
        )
        if batch and self.synchronized:
            return ops.cast(self._normalize_together(inputs), self.compute_dtype)
        outputs, batch_mean, batch_variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=gamma,
            offset=beta,
            mean=[] if batch else mean,
            variance=[] if batch else variance,
            epsilon=self.epsilon,
            is_training=batch,
        )
        if batch:
            count = tf.cast(tf.size(inputs) // tf.shape(inputs)[-1], tf.float32)
            biased = batch_variance * ((count - 1.0) / count)
            self._average(self.moving_mean, mean, batch_mean)
            self._average(self.moving_variance, variance, biased)
        return ops.cast(outputs, self.compute_dtype)

    def _normalize_in_one_pass(self, inputs: Tensor) -> Tensor:
        """Normalizes by the moments of the batch, in functions that XLA fuses into three passes.

        One pass over the batch gives both the mean and the mean of squares. The variance as Keras
        takes it, from differences to the mean, needs a second pass, forward and in the gradient.
        Both are taken relative to the mean of the first image, since a mean of squares less the
        square of the mean loses all digits if the mean is large. For a batch of B images the square
        of that difference is at most B variances, so that float32 loses no more than a factor of B.
        The result does not depend on it, and no gradient flows through it.
        """
        x = ops.cast(inputs, "float32")
        near = ops.stop_gradient(ops.mean(x[0], axis=(0, 1)))
        distance = x - near
        offset = ops.mean(distance, axis=(0, 1, 2))
        square = ops.mean(ops.square(distance), axis=(0, 1, 2))
        variance = ops.maximum(square - ops.square(offset), 0.0)
        self._average(self.moving_mean, self.moving_mean, near + offset)
        self._average(self.moving_variance, self.moving_variance, variance)
        scale = self.gamma * ops.rsqrt(variance + self.epsilon)
        return ops.cast(distance * scale + (self.beta - offset * scale), self.compute_dtype)

    def _normalize_together(self, inputs: Tensor) -> Tensor:
        """Normalizes by the moments of all replicas, with one all-reduce.

        Keras computes the mean of squares minus the square of the mean, which loses all digits of
        the variance if the mean is large. Here both are taken relative to the moving mean.
        """
        import tensorflow as tf

        x = tf.cast(inputs, tf.float32)
        near = tf.convert_to_tensor(self.moving_mean)
        # Per image first: a float32 sum of a hundred thousand numbers loses two digits.
        mean = tf.reduce_mean(tf.reduce_mean(x, [1, 2]), 0)
        variance = tf.reduce_mean(tf.reduce_mean(tf.math.squared_difference(x, mean), [1, 2]), 0)
        own = tf.stack([mean - near, tf.square(mean - near) + variance])
        replicas = tf.distribute.get_replica_context()
        offset, square = tf.unstack(replicas.all_reduce("MEAN", own))
        mean = near + offset
        variance = square - tf.square(offset)
        self._average(self.moving_mean, near, mean)
        self._average(self.moving_variance, tf.convert_to_tensor(self.moving_variance), variance)
        return tf.nn.batch_normalization(
            x, mean, variance, tf.convert_to_tensor(self.beta), self.gamma, self.epsilon
        )

    def _average(self, weight: Any, old: Any, new: Any) -> None:
        weight.assign(ops.cast(old * self.momentum + new * (1.0 - self.momentum), weight.dtype))

    def _fuses(self, inputs: Tensor, mask: Any) -> bool:
        backend = keras.backend.backend()
        return (
            (backend == "tensorflow" or (backend == "jax" and not self.synchronized))
            and mask is None
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and self.scale
            and self.center
            and not self.renorm
            and keras.backend.standardize_dtype(inputs.dtype) in FUSED_DTYPES
        )


@keras.saving.register_keras_serializable("keras_resnet")
class PadChannels(keras.layers.Layer):
    """Adds channels of zeros: the shortcut of option A (arXiv:1512.03385, section 3.3).

    Maps [batch, height, width, channels] to [batch, height, width, before + channels + after], of
    the same dtype.

    Raises:
        ValueError: for a negative number of channels.
    """

    def __init__(self, before: int, after: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if min(before, after) < 0:
            raise ValueError(
                f"before and after must not be negative, got before={before}, after={after}"
            )
        self.before = before
        self.after = after

    def call(self, inputs: Tensor) -> Tensor:
        return ops.pad(inputs, [(0, 0)] * 3 + [(self.before, self.after)])

    def compute_output_shape(self, input_shape: tuple[Any, ...]) -> tuple[Any, ...]:
        return (*input_shape[:-1], self.before + input_shape[-1] + self.after)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "before": self.before, "after": self.after}
