"""Writes the results into the docs: `python -m train.lab.page`.

`docs/results.md` is written whole, from `results/*.json` and `results/runs/`; the table of
experiments goes into `docs/experiments.md`. With `--check` nothing is written, and the exit code is
1 if a page differs from what it would be.
"""

import json
import re
import sys
from pathlib import Path

from absl import flags

from keras_resnet import console
from train.lab import others, runs, tables
from train.lab.experiments import EXPERIMENTS
from train.lab.planned import Schedule, planned
from train.lab.tables import Summary
from train.run import files

FLAGS = flags.FLAGS
ROOT = runs.ROOT
RESULTS = ROOT / "results"
PAGE = ROOT / "docs" / "results.md"
GUIDE = ROOT / "docs" / "experiments.md"
PLACE = re.compile(r"(<!-- experiments -->\n).*?(<!-- /experiments -->)", re.DOTALL)
DATA = "--data_dir=~/tensorflow_datasets --workdir=runs"
HEAD = """# Results

Written by `python -m train.lab.page` from `results/`: what the papers print, what weights of others
give in the networks of this package, and what trainings of this package give. How to repeat them:
[experiments.md](experiments.md).

## Weights of others in our networks
Errors on all 10,000 test images and all 50,000 training images of CIFAR-10, without augmentation,
and what their authors publish. In the figure, those of a_martyn: on both splits a plain network is
worse when it is deeper, and a residual one better (Figures 1 and 6); residual layers respond less
than plain ones, and less in the deeper network (Figure 7). Other processors may change one image or
two. `python -m train.lab.others --weights_dir=… --data_dir=…` measures all of them.

![Errors by depth, and responses by layer, of networks that a_martyn trained](../results/others.png)
"""
OURS = """## Our trainings
Errors in percent, of networks after their last step: means and sample deviations over n seeds.
"""
ON_THE_WAY = """## Runs that are under way
A run that has not ended is no result: its error is that of a step on the way. Commands and
machines: [results/README.md](../results/README.md).
"""
PAPERS = """## What the papers print
arXiv:1512.03385, and arXiv:1603.05027 where it says so.
"""


def page() -> str:
    """Returns `docs/results.md` as it has to be."""
    measured = RESULTS / others.FILE
    values = json.loads(measured.read_text(encoding="utf-8"))
    lines = [HEAD, *others.table(values), "", OURS]
    paths = sorted({*RESULTS.glob("*.json")} - {measured})
    for path in paths:
        lines += section(json.loads(path.read_text(encoding="utf-8")), path.stem)
    if not paths:
        lines.append("No experiment has results yet.\n")
    lines += archive(RESULTS / "runs")
    lines += [PAPERS, *papers()]
    return "\n".join(lines) + "\n"


def papers() -> list[str]:
    """Returns a table of all published numbers."""
    found = {
        (published.run, published.measure.text, published.said): None
        for experiment in EXPERIMENTS.values()
        for published in experiment.published
    }
    return tables.rows(("network", "measure", "paper"), found)


def section(summary: Summary, name: str) -> list[str]:
    """Returns what the page says of an experiment; `name` is that of its files."""
    unfinished = "" if summary["complete"] else "**Unfinished.** "
    lines = [
        f"### {name}",
        f"{unfinished}{summary['shows']}. {summary['note']}".rstrip(),
        "",
        f"`{summary['command']}`; {summary['schedule']}.",
        "",
        f"![{summary['experiment']}](../results/{name}.png)",
        "",
        *tables.table(summary),
        "",
    ]
    lines += [f"- {claim}" for claim in tables.claims(summary)]
    lines += ["", "Where the numbers come from:", ""]
    lines += [f"- {origin}" for origin in tables.origins(summary)]
    return [*lines, ""]


def archive(folder: Path) -> list[str]:
    """Returns what the page says of runs in `results/runs/` that have not ended."""
    kept = [path.parent for path in sorted(folder.glob(f"*/{files.RECIPE}"))]
    found = [_kept(workdir) for workdir in kept if not files.result(workdir)]
    if not found:
        return []
    titles = ("run", "state", "seed", "test error on the way (%)")
    return [ON_THE_WAY, *tables.rows(titles, found), ""]


def _kept(workdir: Path) -> tuple[str, ...]:
    recipe = json.loads((workdir / files.RECIPE).read_text(encoding="utf-8"))
    curve = runs.errors(workdir)["test"]
    step, error = curve.points[:, -1]
    state = f"step {step:,.0f} of {recipe['steps']:,}"
    return (workdir.name, state, str(recipe["seed"]), f"{error:.2f}")


def guide(text: str) -> str:
    """Returns `docs/experiments.md` with the table of the experiments that there are."""
    found = []
    for experiment in EXPERIMENTS.values():
        every = planned(experiment.runs, [1], Schedule(), Path())
        images = sum(one.recipe.steps * one.recipe.batch_size for one in every)
        command = f"`python -m train.lab {experiment.name} {DATA}`"
        cost = f"{len(every)} runs, {images / 1e6:,.0f} M"
        found.append(
            (experiment.name, experiment.shows, ", ".join(experiment.names), cost, command)
        )
    titles = ("experiment", "shows", "runs", "images a seed", "command")
    table = "\n".join(tables.rows(titles, found))
    return PLACE.sub(lambda place: f"{place[1]}{table}\n{place[2]}", text)


def main() -> None:
    pages = {PAGE: page(), GUIDE: guide(GUIDE.read_text(encoding="utf-8"))}
    old = [
        path
        for path, text in pages.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    for path in old:
        print(path.relative_to(ROOT))
        if not FLAGS.check:
            path.write_text(pages[path], encoding="utf-8")
    if old and FLAGS.check:
        sys.exit(1)


if __name__ == "__main__":
    flags.DEFINE_bool("check", False, "Write nothing; the exit code is 1 if a page is out of date.")
    console.run(main)
