"""Trains what is missing: each run is `python -m train` in a process of its own."""

import os
from collections.abc import Iterable

from keras_resnet import console
from train.lab import processes, runs
from train.lab.experiment import TEST
from train.lab.planned import Place, Planned
from train.lab.processes import Process


def train(missing: Iterable[Planned], place: Place, jobs: int) -> None:
    """Trains runs one after another, or several at a time; a failed one does not stop others.

    SIGTERM and SIGINT stop the runs, which save their state, and then this process.

    Args:
        missing: runs that are not finished. A run that has begun resumes.
        place: where they run.
        jobs: how many run at a time.

    Raises:
        OSError: if a run cannot be started.
    """
    pending = list(missing)
    going: dict[Process, Planned] = {}
    try:
        while pending or going:
            while pending and len(going) < jobs:
                planned = pending.pop(0)
                going[_start(planned, place)] = planned
            for one in processes.ended(list(going)):
                _say_end(one, going.pop(one))
    finally:
        processes.stop(list(going))


def _start(planned: Planned, place: Place) -> Process:
    begun = runs.state(planned)
    planned.workdir.mkdir(parents=True, exist_ok=True)
    name = f"{planned.run.name}, seed {planned.seed}"
    output = planned.workdir / runs.OUTPUT
    verb = f"resumes, {begun.text}" if begun.step else "starts"
    console.say(f"{name}: {verb}; its output: {output}")
    return processes.start(name, planned.command(place), output)


def _say_end(one: Process, planned: Planned) -> None:
    if one.code == os.EX_OK and runs.state(planned).finished:
        console.say(f"{one.name}: finished, test error {runs.value(planned, TEST):.2f} %")
    else:
        told = processes.last_line(one.output)
        console.say(f"{one.name}: failed with exit code {one.code}: {told}")
