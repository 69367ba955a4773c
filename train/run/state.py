"""What a step changes, kept: the network, its update, and the numbers of a run."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import keras_resnet
from keras_resnet import console
from keras_resnet.network import ResidualNetwork
from keras_resnet.rewrite import int8 as quantization
from train.datasets.batches import Data
from train.optimize import schedules, statistics
from train.optimize.updates import Update
from train.run import devices
from train.run.checkpoints import Checkpoints, steps

BestUntil = Callable[[int], Mapping[str, float]]


@dataclass(frozen=True)
class TrainState:
    """Everything that has to survive for a run to go on; variables are mirrored on replicas."""

    strategy: tf.distribute.Strategy
    model: ResidualNetwork
    update: Update
    warmup: schedules.ErrorWarmup
    checkpoints: Checkpoints
    best: dict[str, float] = field(default_factory=lambda: {"best_top1": -1.0, "best_step": -1.0})
    averagers: dict[tuple[str, ...], Callable[[], None]] = field(default_factory=dict)

    @property
    def chief(self) -> bool:
        return devices.workers(self.strategy)[0] == 0

    def save(self, step: int) -> bool:
        """Writes a checkpoint; a full disk costs this one, and neither the run nor the others.

        Returns:
            whether it was written, by worker 0.
        """
        self.average_statistics()
        if not self.chief:
            return True
        numbers = self.warmup.state | self.best
        try:
            self.checkpoints.save(step, numbers, int(self.best["best_step"]))
        except OSError as error:
            console.say(
                f"step {step}: no checkpoint, {error}; the run goes on, and the newest one is"
                f" {self.checkpoints.newest()}"
            )
            return False
        return True

    def restore_latest(self, best_until: BestUntil | None = None) -> int:
        """Returns the step of the newest whole checkpoint, 0 if there is none.

        Worker 0 reads it, and the others are given what it has.

        Args:
            best_until: returns what `best` holds of the best network on disk, up to a step.
        """
        step, numbers = self.checkpoints.restore_latest() if self.chief else (0, {})
        own = self.warmup.state | self.best | {"step": float(step)}
        own |= numbers
        published = best_until(step) if best_until and self.chief else {}
        if published and published["best_top1"] > own["best_top1"]:
            own |= published
        with self.strategy.scope():
            shared = [keras.Variable(value, dtype="float64") for value in own.values()]
        devices.share(self.strategy, [*self.model.variables, *self._update_variables(), *shared])
        own = {name: float(np.asarray(v)) for name, v in zip(own, shared, strict=True)}
        self.warmup.state.update({name: own[name] for name in self.warmup.state})
        self.best.update({name: own[name] for name in self.best})
        return int(own["step"])

    def observe(self, step: int, top1: float) -> bool:
        """Takes the accuracy of an evaluation; returns whether it is the best so far."""
        better = top1 > self.best["best_top1"]
        if better:
            self.best.update(best_top1=top1, best_step=float(step))
        return better

    def average_statistics(self) -> None:
        """Gives the replicas equal statistics: a network that leaves the run has only one set."""
        moving = statistics.moving(self.model)
        paths = [variable.path for variable in moving]
        pairs = zip(self.update.averages, self.model.weights, strict=False)
        averages = [average for average, weight in pairs if weight.path in paths]
        key = (*paths, *(average.path for average in averages))
        if key not in self.averagers:  # of a training whose frozen parts are these
            self.averagers[key] = statistics.average(self.strategy, moving + averages)
        self.averagers[key]()

    @contextmanager
    def averaged(self) -> Iterator[ResidualNetwork]:
        """Lends the network as it is measured and published: with the averaged weights, if any."""
        self.average_statistics()
        weights = self.model.weights if self.update.averages else []
        own = [tf.convert_to_tensor(weight.value) for weight in weights]
        for weight, average in zip(weights, self.update.averages, strict=True):
            weight.assign(tf.convert_to_tensor(average.value))
        try:
            yield self.model
        finally:
            for weight, value in zip(weights, own, strict=True):
                weight.assign(value)

    def _update_variables(self) -> list[keras.Variable]:
        return [v for group in self.update.variables.values() for v in group]


def create(
    data: Data, strategy: tf.distribute.Strategy, directory: Path, *, scaled: bool = False
) -> TrainState:
    """Builds network and optimizer of a recipe, before its first step.

    The first weights are not read where a checkpoint takes their place.
    """
    recipe, resumes = data.recipe, bool(steps(directory))
    keras.utils.set_random_seed(recipe.seed)
    with strategy.scope():
        model = keras_resnet.resnet(
            recipe.network,
            input_shape=data.input_shape,
            classes=len(data.labels),
            classifier_activation=None,
            weights=None if resumes else recipe.init_weights or None,
            **recipe.fields,
        )
        if recipe.quantize and not quantization.precision(model):
            model = quantization.quantized(model)
        statistics.synchronize(model, recipe.sync_bn)
        update = Update(model, recipe, scaled=scaled)
    checkpoints = Checkpoints(directory, {"model": model.variables, **update.variables})
    return TrainState(
        strategy, model, update, schedules.ErrorWarmup(recipe.warmup_error), checkpoints
    )
