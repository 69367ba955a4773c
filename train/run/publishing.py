"""The trained networks that a run leaves, in files that say how to use them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_resnet import console, weights
from keras_resnet.manifest import Manifest
from keras_resnet.network import ResidualNetwork
from train.optimize import statistics
from train.recipes.data import Data
from train.run import files, workdirs
from train.tasks.headline import Headline


def final(model: ResidualNetwork, data: Data, workdir: Path, result: Mapping[str, float]) -> None:
    """Writes the network as it is after the last step.

    Args:
        model: with its final weights.
        data: what it was trained on.
        workdir: of the run.
        result: metrics of the test split.

    Raises:
        OSError: if there is no room.
    """
    statistics.synchronize(model, together=False)  # of training, and no property of the network
    manifest = _manifest(data, workdir, {"result": result})
    _write(model, workdir / files.FINAL_WEIGHTS, manifest)
    _write(model, workdir / files.FINAL_MODEL, manifest)


def best(
    model: ResidualNetwork,
    data: Data,
    workdir: Path,
    step: int,
    value: float,
    headline: Headline,
) -> None:
    """Writes the network as it was measured after a step; without room the one before stays.

    Args:
        model: as it was measured.
        data: what it was trained on.
        workdir: of the run.
        step: number of steps taken.
        value: of the headline metric.
        headline: the metric.
    """
    if not all(np.isfinite(np.asarray(weight)).all() for weight in model.weights):
        return  # the checkpoint that follows an evaluation ends the run, and says why
    told = {"best": {"step": step, headline.name: value, "split": data.eval_split}}
    try:
        _write(model, workdir / files.BEST, _manifest(data, workdir, told))
    except OSError as error:
        console.say(
            f"step {step}: the best network so far is not in {workdir / files.BEST}, {error}"
        )


def best_until(workdir: Path, step: int, headline: Headline) -> tuple[float, int] | None:
    """Returns the value and the step of the best network on disk; None if there is none.

    A run that is extended has measured its last step, too, after the last checkpoint. A network of
    a step after `step` does not count: it will be measured again.
    """
    if not (workdir / files.BEST).exists():
        return None
    try:
        manifest = weights.read_manifest(workdir / files.BEST)
        told = manifest.training["best"] if manifest else {}
        value = float(told[headline.name])
        measured = int(told["step"])
    except (ValueError, TypeError, KeyError):  # damaged, or not written by `best`
        return None
    return (value, measured) if measured <= step else None


def _manifest(data: Data, workdir: Path, training: Mapping[str, Any]) -> Manifest:
    recipe = data.recipe
    changes = workdirs.changes(workdir)
    told = {"recipe": json.loads(recipe.to_json()), **training}
    if changes:
        told["changes"] = changes
    return Manifest(
        recipe.network,
        data.image_shape,
        data.labels,
        data.preprocessing,
        recipe.fields,
        told,
        activation=recipe.loss,  # which names the function from logits to probabilities
    )


def _write(model: ResidualNetwork, file: Path, manifest: Manifest) -> None:
    workdirs.reserve(file.parent, 4 * model.count_params() + 4096 * len(model.variables))
    weights.save(model, file, manifest)
