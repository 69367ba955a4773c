"""What runs cost: images, multiply-adds, and hours by a measured speed."""

import json
import statistics
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from keras_resnet.analysis.cost import cost
from keras_resnet.models import resnet
from train.lab import runs
from train.lab.planned import Planned, Recipe

FOLDER = runs.ROOT / "benchmarks" / "results"
SMALL = 64  # pixels per side: larger images count as ImageNet's


class Benchmark(NamedTuple):
    """A measurement of training steps, of this package among others."""

    file: str
    network: str
    image_size: int


BENCHMARKS = (
    Benchmark("train_step_cifar.json", "resnet20", 32),
    Benchmark("train_step.json", "resnet50_v1_5", 224),
)


class Speed(NamedTuple):
    """A speed of training that was measured.

    Attributes:
        images_per_second: in training steps.
        multiply_adds: of one of these images.
        source: what was measured, and where.
    """

    images_per_second: float
    multiply_adds: int
    source: str

    def hours(self, planned: Planned) -> float:
        """Returns the hours of the training steps of a run, in proportion to multiply-adds."""
        rate = self.images_per_second * self.multiply_adds
        return images(planned) * multiply_adds(planned.recipe) / rate / 3600


def images(planned: Planned) -> int:
    """Returns how many images a run trains on, each as often as it comes."""
    return planned.recipe.steps * planned.recipe.batch_size


def multiply_adds(recipe: Recipe) -> int:
    """Returns the multiply-adds of one training image, forwards."""
    fields = json.dumps(recipe.fields, sort_keys=True)
    return _multiply_adds(recipe.network, recipe.image_size, fields)


@cache
def _multiply_adds(network: str, size: int, fields: str) -> int:
    model = resnet(network, input_shape=(size, size, 3), **json.loads(fields))
    return cost(model).multiply_adds


def speed(planned: Sequence[Planned], precision: str) -> Speed:
    """Returns the speed of a run that has begun here or, without one, that of the benchmark.

    Args:
        planned: runs that are to be estimated, at least one.
        precision: of activations, as `python -m train` takes it.
    """
    for one in planned:
        found = runs.images_per_second(one.workdir)
        if found:
            where = f"the run {one.workdir.name}"
            return Speed(found, multiply_adds(one.recipe), where)
    largest = max(one.recipe.image_size for one in planned)
    return _benchmark(BENCHMARKS[0] if largest <= SMALL else BENCHMARKS[1], precision)


def _benchmark(benchmark: Benchmark, precision: str) -> Speed:
    table = json.loads((FOLDER / benchmark.file).read_text(encoding="utf-8"))
    rates = table["rates"]
    measured = precision if f"keras_resnet {precision}" in rates else "float32"
    machine = table["machine"]
    return Speed(
        statistics.median(rates[f"keras_resnet {measured}"]),
        _multiply_adds(benchmark.network, benchmark.image_size, "{}"),
        f"{table['command']}: {benchmark.network} in {measured} on {machine['cores']} core of"
        f" {machine['processor']}",
    )
