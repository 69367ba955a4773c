"""Measures trained networks beyond what a run measures itself, once for each of them."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_resnet import analysis, console
from keras_resnet.models import from_weights
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
        for protocol in dict.fromkeys(one.protocol for one in experiment.measures):
            if protocol not in (ONE_CROP, TRAINING) and not runs.measured(
                planned.workdir, protocol
            ):
                path = planned.workdir / f"{protocol}.json"
                failed += _evaluate([planned], protocol, path, place)
        if RESPONSE in experiment.measures and not runs.responses(planned.workdir):
            _respond(planned, place)
    if experiment.ensemble:
        failed += _measure_ensemble(experiment.ensemble, finished, place)
    return failed


def _respond(planned: Planned, place: Place) -> None:
    console.say(f"{planned.run.name}, seed {planned.seed}: measures its responses")
    model = from_weights(planned.workdir / files.FINAL_WEIGHTS)
    examples = sample(datasets.load(planned.recipe.dataset, "test", place.data_dir), IMAGES)
    manifest = model.manifest
    assert manifest  # of all files that a run writes
    preprocessing = manifest.known_preprocessing()
    images = np.stack([image for image, _ in whole(examples, preprocessing.view)])
    found = analysis.responses(model, preprocessing.normalize(images))
    files.write(planned.workdir / runs.RESPONSES, json.dumps(dict(found)) + "\n")


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
    log = path.with_suffix(".log")
    log.unlink(missing_ok=True)
    console.say(f"{name}: measured by {protocol}; the output: {log}")
    process = processes.start(name, command, log)
    (done,) = processes.ended([process])
    if done.code:
        return [f"{name}: not measured by {protocol}: {processes.last_line(log)}"]
    result = json.loads(processes.last_line(log))
    elsewhere = [one._replace(workdir=Path("…") / one.workdir.name) for one in members]
    command = evaluation(elsewhere, protocol, place.data_dir and "…")
    files.write(path, json.dumps({**result, "command": shown(command)}) + "\n")
    return []


def evaluation(members: Sequence[Planned], protocol: str, data_dir: str | None) -> list[str]:
    """Returns the module and the flags that measure networks together on the test split."""
    weights = [f"--weights={one.workdir / files.FINAL_MODEL}" for one in members]
    data = [f"--data_dir={data_dir}"] if data_dir else []
    dataset = f"--dataset={members[0].recipe.dataset}"
    return ["-m", "train.evaluate", *weights, dataset, *data, f"--protocol={protocol}"]
