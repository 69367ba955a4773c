"""The trained networks that a run leaves, in files that say what others need to know of them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_resnet import console, weights
from keras_resnet.manifest import Manifest
from keras_resnet.network import ResidualNetwork
from train import curves
from train.datasets.batches import Data
from train.log.journal import Scalars
from train.optimize import statistics
from train.run import workdirs

BEST = "best.weights.h5"
FINAL = ("final.weights.h5", "final.keras")


def final(model: ResidualNetwork, data: Data, workdir: Path, result: Scalars) -> None:
    """Writes the network as it is after the last step, and draws the history of the run.

    Raises:
        OSError: if there is no room for it.
    """
    statistics.synchronize(model, together=False)  # a matter of training, not of the network
    for name in FINAL:
        _write(model, workdir / name, _manifest(data, workdir, {"result": result}))
    curves.draw(workdir)
    workdirs.finish(workdir, data.recipe.steps, result)


def best(model: ResidualNetwork, data: Data, workdir: Path, step: int, top1: float) -> None:
    """Writes the network as it was measured after a step; without room the one before stays."""
    if not all(np.isfinite(np.asarray(weight)).all() for weight in model.weights):
        return  # the checkpoint that follows an evaluation ends the run, and says why
    told = {"best": {"step": step, "top1": top1, "split": data.eval_split}}
    try:
        _write(model, workdir / BEST, _manifest(data, workdir, told))
    except OSError as error:
        console.say(f"step {step}: the best network so far is not in {workdir / BEST}, {error}")


def best_until(workdir: Path, step: int) -> dict[str, float]:
    """Returns what `TrainState.best` holds of the file that `best` wrote, if there is one.

    A run that goes on longer than it was told to at first has measured its last step too, after
    its last checkpoint. What was measured after `step` is measured again.
    """
    try:
        manifest = weights.read_manifest(workdir / BEST)
        told = manifest.training["best"] if manifest else {}
        found = {"best_top1": float(told["top1"]), "best_step": float(told["step"])}
    except (ValueError, TypeError, KeyError):  # missing, damaged, or not written by `best`
        return {}
    return found if found["best_step"] <= step else {}


def _manifest(data: Data, workdir: Path, training: Mapping[str, Any]) -> Manifest:
    recipe, changes = data.recipe, workdirs.changes(workdir)
    training = {**training, **({"changes": changes} if changes else {})}
    return Manifest(
        recipe.network,
        data.image_shape,
        data.labels,
        data.preprocessing,
        recipe.fields,
        {"recipe": json.loads(recipe.to_json()), **training},
        activation=recipe.loss,  # the loss of a probability is that of what makes one
    )


def _write(model: ResidualNetwork, file: Path, manifest: Manifest) -> None:
    workdirs.reserve(file.parent, 4 * model.count_params() + 4096 * len(model.variables))
    weights.save(model, file, manifest)
