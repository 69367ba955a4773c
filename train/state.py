"""What a step changes: the network, its optimizer, and the progress of a warm-up."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import tensorflow as tf

import keras_resnet
from keras_resnet.network import ResidualNetwork
from train import optimizers, schedules, steps
from train.checkpoints import Checkpoints
from train.pipeline import Data


@dataclass(frozen=True)
class TrainState:
    """Everything that has to survive for a run to go on; variables are mirrored on replicas."""

    model: ResidualNetwork
    optimizer: keras.optimizers.Optimizer
    warmup: schedules.ErrorWarmup
    checkpoints: Checkpoints
    average_statistics: Callable[[], None]

    def save(self, step: int) -> None:
        self.average_statistics()
        self.checkpoints.save(step, self.warmup.state)

    def restore_latest(self) -> int:
        """Returns the step of the newest whole checkpoint, 0 if there is none."""
        step, numbers = self.checkpoints.restore_latest()
        self.warmup.state.update(numbers)
        return step


def create(data: Data, strategy: tf.distribute.Strategy, directory: Path) -> TrainState:
    """Builds network and optimizer of a recipe, before its first step."""
    recipe = data.recipe
    keras.utils.set_random_seed(recipe.seed)
    with strategy.scope():
        model = keras_resnet.resnet(
            recipe.network,
            input_shape=data.image_shape,
            classes=len(data.labels),
            classifier_activation=None,
            weights=recipe.init_weights or None,
            **recipe.fields,
        )
        optimizer = optimizers.build(recipe, model.trainable_variables)
    variables = {"model": model.variables, "optimizer": optimizer.variables}
    warmup = schedules.ErrorWarmup(recipe.warmup_error)
    checkpoints = Checkpoints(directory, variables)
    average = steps.average_statistics(strategy, model)
    return TrainState(model, optimizer, warmup, checkpoints, average)
