"""Measures trained networks beyond what a run measures itself, once for each of them."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_resnet import analysis, console
from keras_resnet.models import from_weights
from keras_resnet.network import ResidualNetwork
from train import datasets
from train.datasets.decoding import whole
from train.datasets.examples import sample
from train.lab import processes, runs
from train.lab.experiment import ONE_CROP, RESPONSE, TRAINING, Ensemble, Experiment
from train.lab.planned import Place, Planned, shown
from train.run import files

IMAGES = 1000  # of the test split, on which responses are measured


def measure(experiment: Experiment, finished: Sequence[Planned], place: Place) -> list[str]:
    """Measures finished runs, and the ensemble, by what the experiment asks for.

    Args:
        experiment: says what.
        finished: its runs whose networks are trained.
        place: where they were trained.

    Returns:
        A line for each measurement that failed.
    """
    failed = []
    for planned in finished:
        failed += _measure(planned, experiment, place)
    if experiment.ensemble:
        failed += _measure_ensemble(experiment.ensemble, finished, place)
    return failed


def _measure(planned: Planned, experiment: Experiment, place: Place) -> list[str]:
    asked = dict.fromkeys(one.protocol for one in experiment.measures)
    protocols = [
        protocol
        for protocol in asked
        if protocol not in (ONE_CROP, TRAINING) and not runs.measured(planned.workdir, protocol)
    ]
    responds = RESPONSE in experiment.measures and not runs.responses(planned.workdir)
    weights = planned.workdir / files.FINAL_WEIGHTS
    if (protocols or responds) and not weights.exists():
        return [f"{planned.run.name}, seed {planned.seed}: not measured: no {weights}"]
    failed = []
    for protocol in protocols:
        failed += _evaluate([planned], protocol, planned.workdir / f"{protocol}.json", place)
    if responds:
        _respond(planned, place)
    return failed


def _respond(planned: Planned, place: Place) -> None:
    console.say(f"{planned.run.name}, seed {planned.seed}: measures its responses")
    model = from_weights(planned.workdir / files.FINAL_WEIGHTS)
    found = responses(model, planned.recipe.dataset, place.data_dir)
    files.write(planned.workdir / runs.RESPONSES, json.dumps(found) + "\n")


def responses(model: ResidualNetwork, dataset: str, data_dir: str | None) -> dict[str, float]:
    """Returns the deviation of each layer's response to test images, in order (Figure 7).

    Raises:
        ValueError: if the weights of the model do not say how images are preprocessed.
    """
    assert model.manifest  # of all models with trained weights
    preprocessing = model.manifest.known_preprocessing()
    examples = sample(datasets.load(dataset, "test", data_dir), IMAGES)
    images = np.stack([image for image, _ in whole(examples, preprocessing.view)])
    return dict(analysis.responses(model, preprocessing.normalize(images)))


def _measure_ensemble(ensemble: Ensemble, finished: Sequence[Planned], place: Place) -> list[str]:
    members = members_of(ensemble, finished)
    if not members:
        return []
    failed = []
    for protocol in dict.fromkeys(one.protocol for one in ensemble.measures):
        path = ensemble_file(members, protocol)
        if not path.exists():
            failed += _evaluate(members, protocol, path, place)
    return failed


def members_of(ensemble: Ensemble, finished: Sequence[Planned]) -> list[Planned]:
    """Returns the trained networks of an ensemble; none as long as one of them is missing."""
    remaining = list(finished)
    members = []
    for name in ensemble.members:
        found = next((one for one in remaining if one.run.name == name), None)
        if found is None:
            return []
        remaining.remove(found)
        members.append(found)
    return members


def ensemble_file(members: Sequence[Planned], protocol: str) -> Path:
    """Returns where the metrics of an ensemble are kept: beside its last member."""
    return members[-1].workdir / f"ensemble_{protocol}.json"


def _evaluate(members: Sequence[Planned], protocol: str, path: Path, place: Place) -> list[str]:
    """Measures one network, or several together; returns a line if that fails."""
    name = ", ".join(f"{one.run.name} of seed {one.seed}" for one in members)
    command = evaluation(members, protocol, place.data_dir)
    elsewhere = [one._replace(workdir=Path("…") / one.workdir.name) for one in members]
    told = shown(evaluation(elsewhere, protocol, place.data_dir and "…"))
    return evaluate(f"{name}, by {protocol}", command, told, path)


def evaluate(name: str, command: list[str], told: str, path: Path) -> list[str]:
    """Runs an evaluation in a process of its own; returns a line if it fails.

    Args:
        name: what is measured, for people.
        command: module and flags.
        told: the command for people.
        path: where the metrics are written; beside it, what the command prints.

    Raises:
        OSError: if it cannot be started, or there is no room.
    """
    log = path.with_suffix(".log")
    log.unlink(missing_ok=True)
    console.say(f"{name}: is measured; the output: {log}")
    process = processes.start(name, command, log)
    (done,) = processes.ended([process])
    if done.code:
        return [f"{name}: not measured: {processes.last_line(log)}"]
    result = json.loads(processes.last_line(log))
    files.write(path, json.dumps({**result, "command": told}) + "\n")
    return []


def evaluation(members: Sequence[Planned], protocol: str, data_dir: str | None) -> list[str]:
    """Returns the module and the flags that measure networks together on the test split."""
    weights = [f"--weights={one.workdir / files.FINAL_MODEL}" for one in members]
    data = [f"--data_dir={data_dir}"] if data_dir else []
    dataset = f"--dataset={members[0].recipe.dataset}"
    return ["-m", "train.evaluate", *weights, dataset, *data, f"--protocol={protocol}"]
