"""Workdirs of runs that never were, as the lab reads them; no network is trained."""

import json

from tests.support import history_files
from train.lab.planned import Planned


def run(planned: Planned, top1: float, train_top1: float = 90.0, upto: int | None = None) -> None:
    """Writes a run that has reached a step, or its end; errors do not change on the way."""
    recipe = planned.recipe
    lines = []
    for step in range(recipe.log_every, (upto or recipe.steps) + 1, recipe.log_every):
        lines.append(history_files.train(step, accuracy=train_top1 / 100))
        if step % recipe.eval_every == 0:
            lines.append(history_files.measure(step, top1))
    history_files.write(planned.workdir, lines)
    (planned.workdir / "recipe.json").write_text(recipe.to_json())
    if upto is None:
        result = {"step": recipe.steps, "top1": top1, "top5": 99.5, "loss": 0.5, "examples": 9.0}
        (planned.workdir / "result.json").write_text(json.dumps(result))
        (planned.workdir / "final.weights.h5").touch()
