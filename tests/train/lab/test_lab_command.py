"""The command: what it lists and estimates, what it refuses, and its exit code."""

import json
from pathlib import Path

import pytest

from tests.support import helpers, lab_runs
from train.lab import others, page, planned as planning
from train.lab.experiments import EXPERIMENTS
from train.lab.planned import Schedule

LAB = "train.lab"
TOP1 = {"ResNet-110": 93.5, "ResNet-1202": 92.0}


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> dict:
    """What commands answer; `places` are their workdirs, in which no run is ever trained."""
    tmp = tmp_path_factory.mktemp("lab")
    experiment = EXPERIMENTS["depth1202"]
    for folder in ("all", "half", "other"):
        for one in planning.planned(experiment.runs, [1], Schedule(8000), tmp / folder):
            half = folder == "half" and one.run.name == "ResNet-1202"
            lab_runs.run(one, TOP1[one.run.name], 99.95, upto=4000 if half else None)
    (recipe,) = (tmp / "other").glob("*resnet110*/recipe.json")
    recipe.write_text(recipe.read_text().replace('"momentum": 0.9', '"momentum": 0.8'))
    summary = [LAB, "depth1202", "--steps=8000", "--summary", f"--out={tmp}/out"]
    cases = {
        "list": [LAB, "--list"],
        "estimate": [LAB, "table6", "--dry_run", "--only=ResNet-20,ResNet-110", "--seeds=1,2"],
        "rate of a run": [LAB, "depth1202", "--dry_run", "--only=ResNet-110", "--steps=8000"],
        "all": [*summary, f"--workdir={tmp}/all"],
        "half": [*summary, f"--workdir={tmp}/half"],
        "asked half": [*summary, f"--workdir={tmp}/half", "--only=ResNet-110"],
        "other recipe": [*summary, f"--workdir={tmp}/other"],
        "no name": [LAB],
        "name": [LAB, "tabel6"],
        "two names": [LAB, "table6", "shortcuts"],
        "run": [LAB, "table6", "--only=ResNet-19"],
        "seeds": [LAB, "table6", "--seeds=1,1"],
        "seed": [LAB, "table6", "--seeds=one"],
        "change": [LAB, "table6", "--change=seed=3"],
        "value": [LAB, "table6", "--change=batch_size=0"],
        "place": [LAB, "table6", "--strategy=mirrored"],
    }
    cases["rate of a run"].append(f"--workdir={tmp}/half")
    for name in ("estimate", "run", "seeds", "seed", "change", "value", "place"):
        cases[name].append(f"--workdir={tmp}/new")
    answers = helpers.modules(list(cases.values()))
    return {"tmp": tmp, **dict(zip(cases, answers, strict=True))}


def test_the_list_names_every_experiment_and_run(done):
    assert done["list"]["code"] == 0, done["list"]["stderr"]
    told = done["list"]["stdout"]
    for experiment in EXPERIMENTS.values():
        assert f"{experiment.name}: {experiment.shows}." in told
        assert f"  runs: {', '.join(experiment.names)}" in told
    assert "cost: 5 runs, 41 million images a seed" in told  # 5 x 64,000 steps of 128


def test_an_estimate_states_its_speed(done):
    assert done["estimate"]["code"] == 0, done["estimate"]["stderr"]
    told = done["estimate"]["stdout"].splitlines()
    # Of section 4.2: 64,000 steps of 128; multiply-adds of the networks by convolution arithmetic.
    start = "| ResNet-20 | 1 | not begun | 64,000 | 8,192,000 | 40.6 M | "
    table = json.loads((helpers.ROOT / "benchmarks/results/train_step_cifar.json").read_text())
    rates = sorted(table["rates"]["keras_resnet float32"])
    hours = 64_000 * 128 / rates[len(rates) // 2] / 3600
    assert f"{start}{hours:.1f} |" in told
    start = "| ResNet-110 | 2 | not begun | 64,000 | 8,192,000 | 252.9 M | "
    assert any(line.startswith(start) for line in told)
    assert any(
        "python -m benchmarks.train_step resnet20: resnet20 in float32 on" in x for x in told
    )
    assert told[-1] == "Schedule: the recipe's schedule, float32."
    assert not (done["tmp"] / "new").exists()


def test_a_run_that_has_begun_states_the_speed(done):
    told = done["rate of a run"]["stdout"]
    assert "| ResNet-110 | 1 | finished | 8,000 | 1,024,000 | 252.9 M | 0.0 |" in told
    assert "1,000.0 images/s of 252.9 M multiply-adds (the run cifar10_resnet110_8000" in told


def test_a_complete_summary(done):
    assert done["all"]["code"] == 0, done["all"]["stderr"]
    told = done["all"]["stdout"]
    assert "| ResNet-1202 | test error (%) | 7.93 (Table 6) | 8.00 (n=1) | `python -m train" in told
    assert "| training error (%) | below 0.1 (section 4.2) | 0.05 (n=1) |" in told
    assert "test error (%): ResNet-110 < ResNet-1202: holds (6.5 and 8)" in told


KEPT = sorted({*page.RESULTS.glob("*.json")} - {page.RESULTS / others.FILE})


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_results_follow_from_the_runs_that_are_kept(path, tmp_path):
    values = json.loads(path.read_text(encoding="utf-8"))
    words = [word for word in values["command"].split()[3:] if "…" not in word]
    place = [f"--workdir={page.RESULTS / 'runs'}", "--data_dir=…", f"--out={tmp_path}"]
    helpers.module(LAB, *words, "--summary", *place)
    assert json.loads((tmp_path / path.name).read_text(encoding="utf-8")) == values


def test_an_unfinished_summary_is_written_and_says_so(done):
    assert done["half"]["code"] == 1
    told = done["half"]["stdout"]
    assert "| ResNet-1202 | test error (%) | 7.93 (Table 6) | unfinished |" in told
    assert "ResNet-1202, seed 1: step 4,000 of 8,000" in told
    values = json.loads((done["tmp"] / "out" / "depth1202_8000_steps.json").read_text())
    assert values["complete"] is False
    assert values["schedule"].startswith("8,000 steps")
    assert values["command"] == ("python -m train.lab depth1202 --steps=8000 --seeds=1 --workdir=…")
    assert (done["tmp"] / "out" / "depth1202_8000_steps.png").stat().st_size > 5000


def test_the_exit_code_is_about_what_was_asked_for(done):
    assert done["asked half"]["code"] == 0, done["asked half"]["stderr"]


REFUSED = {
    "other recipe": "holds a run of another recipe (momentum=0.8 there, 0.9 now); choose another",
    "no name": "error: experiment must be one of degradation, table6,",
    "name": "got 'tabel6'; see --list",
    "two names": "error: flags begin with --, got 'shortcuts'; see --help",
    "run": "experiment table6 has no run ResNet-19; allowed: ResNet-20, ",
    "seeds": "error: seeds must be different integers, got '1,1'",
    "seed": "error: seeds must be integers, got 'one'",
    "change": "error: --change must be FIELD=VALUE, got 'seed=3'; fields: ",
    "value": "error: batch_size must be at least 1, got 0",
    "place": "error: strategy=mirrored finds no GPU",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_done_is_one_line(name, done):
    assert done[name]["code"] == 1
    assert done[name]["stdout"] == ""
    (line,) = [text for text in done[name]["stderr"].splitlines() if text.startswith("error: ")]
    assert REFUSED[name] in line
    assert not Path(done["tmp"], "new").exists()
