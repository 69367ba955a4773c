"""From the gradient of the global batch to new weights.

All replicas hold the same sum of gradients, and each applies it by itself. Nothing here waits for
another replica, so a step can be left out as a whole, and XLA can compile it.
"""

import keras
import tensorflow as tf

from keras_resnet import transfer
from keras_resnet.network import ResidualNetwork
from train.optimize import statistics


class LossScale:
    """A factor that keeps gradients in float16 above its smallest numbers.

    It doubles after GOOD_STEPS good steps in a row and halves after a bad one (arXiv:1710.03740,
    section 3.2).
    """

    GOOD_STEPS = 2000

    def __init__(self) -> None:
        self.value = keras.Variable(2.0**15, trainable=False, name="loss_scale")
        self.good_steps = keras.Variable(0, dtype="int32", trainable=False, name="good_steps")

    def observe(self, finite: tf.Tensor) -> None:
        """Takes whether all gradients of a step were finite."""
        value = tf.convert_to_tensor(self.value)
        good = tf.convert_to_tensor(self.good_steps)
        grows = finite & (good + 1 >= self.GOOD_STEPS)
        up = tf.where(grows, 2 * value, value)
        down = tf.maximum(value / 2, 1.0)
        self.value.assign(tf.where(finite, up, down))
        self.good_steps.assign(tf.where(finite & ~grows, good + 1, 0))


class Update:
    """Optimizer, averaged weights and loss scale of a network; build it in the strategy's scope.

    Args:
        model: whose weights change.
        optimizer: built for the trainable weights, also for those that are frozen later.
        ema: decay of the moving average of all weights; 0 for none.
        clip_norm: largest norm of the gradient of the global batch; 0 for any.
        stage_rate: learning rate of each part over that of the next one towards the head.
        scaled: whether losses are scaled, and steps whose gradients overflow are left out.
    """

    def __init__(
        self,
        model: ResidualNetwork,
        optimizer: keras.optimizers.Optimizer,
        *,
        ema: float = 0.0,
        clip_norm: float = 0.0,
        stage_rate: float = 1.0,
        scaled: bool = False,
    ) -> None:
        self.optimizer = optimizer
        self.scale = LossScale() if scaled else None
        self.averages: list[keras.Variable] = []
        self._model = model
        self._ema = ema
        self._clip_norm = clip_norm
        self._stage_rate = stage_rate
        if ema:
            self.averages = [
                keras.Variable(tf.convert_to_tensor(w.value), trainable=False, name=f"ema_{w.name}")
                for w in model.weights
            ]

    @property
    def variables(self) -> dict[str, list[keras.Variable]]:
        """What a checkpoint has to hold besides the network."""
        scale = [self.scale.value, self.scale.good_steps] if self.scale else []
        return {"optimizer": self.optimizer.variables, "ema": self.averages, "loss_scale": scale}

    def __call__(
        self, grads: list[tf.Tensor], rate: tf.Tensor, before: list[tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Changes a replica's copy of all variables.

        Args:
            grads: sums over the replicas, still scaled.
            rate: the learning rate.
            before: the moving statistics as they were before the step, if losses are scaled.

        Returns:
            Whether all gradients are finite, and whether the step was taken.
        """
        if self.scale is None:
            finite = _finite(grads)
            return finite, self._follow(grads, rate)
        scale = tf.convert_to_tensor(self.scale.value)
        grads = [grad / scale for grad in grads]
        finite = _finite(grads)
        # At a scale of 1 the network itself diverges, and the run has to see it.
        taken = finite | (scale <= 1.0)
        tf.cond(taken, lambda: self._follow(grads, rate), lambda: self._undo(before))
        self.scale.observe(finite)
        return finite, taken

    def _follow(self, grads: list[tf.Tensor], rate: tf.Tensor) -> tf.Tensor:
        if self._clip_norm:
            grads, _ = tf.clip_by_global_norm(grads, self._clip_norm)
        variables = self._model.trainable_variables
        shares = transfer.rates(self._model, self._stage_rate)
        for grad, variable, share in zip(grads, variables, shares, strict=True):
            self.optimizer.update_step(grad, variable, share * rate)
        self._average()
        return tf.constant(True)

    def _average(self) -> None:
        """Moves the averages; after the first step they are the weights themselves."""
        weights = self._model.weights if self.averages else []
        first = tf.equal(tf.cast(self.optimizer.iterations.value, tf.int32), 0)
        for average, weight in zip(self.averages, weights, strict=True):
            old = tf.convert_to_tensor(average)
            new = tf.convert_to_tensor(weight)
            average.assign(tf.where(first, new, old + (1.0 - self._ema) * (new - old)))

    def _undo(self, before: list[tf.Tensor]) -> tf.Tensor:
        for variable, value in zip(statistics.moving(self._model), before, strict=True):
            variable.assign(value)
        return tf.constant(False)


def _finite(grads: list[tf.Tensor]) -> tf.Tensor:
    return tf.reduce_all([tf.reduce_all(tf.math.is_finite(grad)) for grad in grads])
