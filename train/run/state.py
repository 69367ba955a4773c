"""Everything that a step changes: the network, its update, and a few numbers of the run."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_resnet import console
from keras_resnet.models import resnet
from keras_resnet.network import ResidualNetwork
from keras_resnet.rewrite import int8
from train.optimize import schedules, statistics
from train.optimize.updates import Update
from train.recipes import plan
from train.recipes.data import Data
from train.run import devices
from train.run.checkpoints import Checkpoints, steps
from train.tasks.evaluation import EvalStep, eval_step
from train.tasks.headline import Headline
from train.tasks.task import Task

BestUntil = Callable[[int], tuple[float, int] | None]


@dataclass
class Best:
    """The best evaluation so far, by the headline metric.

    Attributes:
        headline: the metric.
        value: of the metric.
        step: after which it was measured; -1 before the first evaluation.
    """

    headline: Headline
    value: float
    step: int = -1

    def observe(self, step: int, value: float) -> bool:
        """Takes an evaluation; returns whether it is the best so far."""
        better = self.headline.better(value, self.value)
        if better:
            self.value = value
            self.step = step
        return better

    @property
    def numbers(self) -> dict[str, float]:
        """The names and values in a checkpoint."""
        return {f"best_{self.headline.name}": self.value, "best_step": float(self.step)}

    def restore(self, numbers: dict[str, float]) -> None:
        self.value = numbers[f"best_{self.headline.name}"]
        self.step = int(numbers["best_step"])


@dataclass(frozen=True)
class TrainState:
    """Everything that has to survive for a run to resume; variables are mirrored on replicas."""

    strategy: tf.distribute.Strategy
    model: ResidualNetwork
    update: Update
    task: Task
    warmup: schedules.ErrorWarmup
    checkpoints: Checkpoints
    best: Best
    eval_step: EvalStep
    averagers: dict[tuple[str, ...], Callable[[], None]] = field(default_factory=dict)

    @property
    def chief(self) -> bool:
        return devices.is_chief(self.strategy)

    def save(self, step: int) -> bool:
        """Writes a checkpoint; on a full disk the run goes on without this one.

        Returns:
            Whether worker 0 has written it.

        Raises:
            FloatingPointError: if a weight is NaN or infinite.
        """
        self.average_statistics()
        if not self.chief:
            return True
        numbers = self.warmup.state | self.best.numbers
        try:
            self.checkpoints.save(step, numbers, self.best.step)
        except OSError as error:
            console.say(
                f"step {step}: no checkpoint, {error}; the run goes on, and the newest one is"
                f" {self.checkpoints.newest()}"
            )
            return False
        return True

    def restore_latest(self, best_until: BestUntil | None = None) -> int:
        """Restores the newest whole checkpoint; returns its step, 0 if there is none.

        Worker 0 reads it and shares it with the others.

        Args:
            best_until: returns value and step of the best network on disk, up to a step.

        Raises:
            ValueError: if a checkpoint is of another training, or all are damaged.
        """
        step = 0
        numbers = self.warmup.state | self.best.numbers
        if self.chief:
            step, restored = self.checkpoints.restore_latest()
            numbers |= restored
            self.best.restore(numbers)
            published = best_until(step) if best_until else None
            if published:
                self.best.observe(published[1], published[0])
            numbers |= self.best.numbers
        numbers["step"] = float(step)
        numbers = self._shared(numbers)
        self.warmup.state.update({name: numbers[name] for name in self.warmup.state})
        self.best.restore(numbers)
        return int(numbers["step"])

    def _shared(self, numbers: dict[str, float]) -> dict[str, float]:
        """Gives all workers the variables of worker 0, and returns its numbers."""
        slots = [v for group in self.update.variables.values() for v in group]
        with self.strategy.scope():
            values = [keras.Variable(value, dtype="float64") for value in numbers.values()]
        devices.share(self.strategy, [*self.model.variables, *slots, *values])
        return {name: float(np.asarray(v)) for name, v in zip(numbers, values, strict=True)}

    def average_statistics(self) -> None:
        """Gives all replicas equal statistics: a network that leaves the run has only one set."""
        moving = statistics.moving(self.model)
        paths = [variable.path for variable in moving]
        pairs = zip(self.update.averages, self.model.weights, strict=False)
        averages = [average for average, weight in pairs if weight.path in paths]
        # One compiled function for each set of frozen parts, whose statistics do not move.
        key = (*paths, *(average.path for average in averages))
        if key not in self.averagers:
            self.averagers[key] = statistics.average(self.strategy, moving + averages)
        self.averagers[key]()

    @contextmanager
    def averaged(self) -> Iterator[ResidualNetwork]:
        """Lends the network as it is measured and published: with averaged weights, if any."""
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


def create(
    data: Data, strategy: tf.distribute.Strategy, directory: Path, *, scaled: bool = False
) -> TrainState:
    """Builds network and optimizer of a recipe, as they are before its first step.

    The first weights are read and closed, unless a checkpoint will replace them.

    Args:
        data: of the recipe.
        strategy: whose replicas mirror all variables.
        directory: of the checkpoints.
        scaled: whether losses are scaled, as float16 needs it.
    """
    recipe = data.recipe
    task = replace(plan.task(recipe), inputs=data.preprocessing.normalize)
    keras.utils.set_random_seed(recipe.seed)
    with strategy.scope():
        model = _network(data, resumes=bool(steps(directory)))
        statistics.synchronize(model, recipe.sync_bn)
        update = plan.update(recipe, model, scaled=scaled)
    return TrainState(
        strategy=strategy,
        model=model,
        update=update,
        task=task,
        warmup=schedules.ErrorWarmup(recipe.warmup_error),
        checkpoints=Checkpoints(directory, {"model": model.variables, **update.variables}),
        best=Best(task.headline, task.headline.none),
        eval_step=eval_step(strategy, model, task),
    )


def _network(data: Data, *, resumes: bool) -> ResidualNetwork:
    recipe = data.recipe
    first = data.first if not resumes else None
    model = resnet(
        recipe.network,
        input_shape=data.input_shape,
        classes=len(data.labels),
        classifier_activation=None,
        weights=first.held if first else None,
        **recipe.fields,
    )
    if data.first:
        data.first.close()
    if recipe.quantize and not int8.precision(model):
        model = int8.quantized(model)
    return model
