"""A finished run, with the checks that it may become weights of the package."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_resnet import family, weights
from keras_resnet.manifest import Manifest
from train import recipes
from train.recipes.data import Data, open_data
from train.run import data_file, files

TRAINING_ONLY = ("zero_gamma", "stochastic_depth")  # fields of a spec that change no prediction
TEXTS = ("source", "expected")  # of a recipe, which change nothing


@dataclass(frozen=True)
class Finished:
    """A run that has taken its last step.

    Attributes:
        workdir: of the run.
        file: its weights after the last step, float32.
        manifest: of the file.
        recipe: all fields of its recipe, as JSON has them.
        result: metrics of the test split, as the run measured them.
    """

    workdir: Path
    file: Path
    manifest: Manifest
    recipe: Mapping[str, Any]
    result: Mapping[str, float]

    @property
    def dataset(self) -> str:
        return self.recipe["dataset"]

    @property
    def network(self) -> str:
        return self.manifest.network


def read(workdir: Path) -> Finished:
    """Reads a finished run, also of earlier versions, which wrote no `result.json`.

    Raises:
        ValueError: if the run is not finished, or its files are of different runs or damaged.
    """
    file = workdir / files.FINAL_WEIGHTS
    if not file.exists():
        raise ValueError(f"the run in {workdir} is not finished: it has no {file.name}")
    manifest = weights.read_manifest(file)
    try:
        training = manifest.training if manifest else {}
        recipe = training["recipe"]
        result = training["result"]
        wanted = json.loads((workdir / files.RECIPE).read_text(encoding="utf-8"))["steps"]
        ended = _result(workdir / files.RESULT) or {"step": recipe["steps"], **result}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{workdir} does not hold a finished run: {error!r}") from error
    if not recipe["steps"] == ended["step"] == wanted:
        raise ValueError(
            f"the run in {workdir} is not finished: {ended['step']} of {wanted} steps, and"
            f" {file.name} is the network after {recipe['steps']}"
        )
    if ended != {"step": wanted, **result}:
        raise ValueError(f"{file} measured {result}, and {files.RESULT} says {ended}")
    assert manifest
    return Finished(workdir, file, manifest, recipe, result)


def _result(path: Path) -> dict[str, float] | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def check_network(run: Finished) -> None:
    """Refuses a run whose network is not one that weights with a name can stand for.

    Raises:
        ValueError: for a rounded network, for fields that change predictions, for a run that began
            with other weights, and for a run that was extended.
    """
    manifest = run.manifest
    if manifest.quantized:
        raise ValueError(f"{run.file} is rounded to {manifest.quantized}: give the run before it")
    differ = family.changes(manifest.spec, run.network)
    if other := {name: value for name, value in differ.items() if name not in TRAINING_ONLY}:
        raise ValueError(
            f"{run.file} is not the {run.network} of the family, which its name promises:"
            f" {', '.join(f'{name}={value!r}' for name, value in other.items())}"
        )
    if run.recipe["init_weights"]:
        raise ValueError(
            f"the run in {run.workdir} began with the weights {run.recipe['init_weights']!r}: the"
            " package has only networks that it trained from the start"
        )
    for change in manifest.training.get("changes", ()):
        if "steps" in change:
            raise ValueError(
                f"the run in {run.workdir} was changed from {change['steps'][0]} to"
                f" {change['steps'][1]} steps on its way: no command repeats it"
            )


def open_checked(run: Finished, dataset: str | None, data_dir: str | None) -> Data:
    """Opens the data of a run, and checks that they are those that it was trained on.

    Args:
        run: the run.
        dataset: the name of the data set that is expected; None for the run's.
        data_dir: where the set is, as `datasets.load` takes it.

    Raises:
        ValueError: for a folder, which has no name, for another data set, and for data with other
            classes or images than the run began with.
    """
    if run.dataset == "folder":
        raise ValueError("a run on a folder of images cannot be shipped: its data have no name")
    if dataset not in (None, run.dataset):
        raise ValueError(f"the run in {run.workdir} was trained on {run.dataset}, not on {dataset}")
    name, changes = nearest_recipe(run)
    data = open_data(recipes.find(name, **changes), data_dir, run.manifest.known_preprocessing())
    if data.labels != run.manifest.labels:
        raise ValueError(
            f"the classes of {run.dataset} here, {', '.join(data.labels[:3])}, ..., are not those"
            f" of the run: {', '.join(run.manifest.labels[:3])}, ..."
        )
    old = data_file.read(run.workdir)
    if old and (changed := data_file.compare(old, data)):
        raise ValueError("; ".join(changed))
    return data


def nearest_recipe(run: Finished) -> tuple[str, dict[str, Any]]:
    """Returns the recipe of the table that a run differs least from, and the fields that differ."""
    name = min(recipes.RECIPES, key=lambda name: len(_changes(run, name)))
    return name, _changes(run, name)


def _changes(run: Finished, name: str) -> dict[str, Any]:
    row = json.loads(recipes.RECIPES[name].to_json())
    return {
        field: value
        for field, value in run.recipe.items()
        if field not in TEXTS and value != row.get(field)
    }
