"""Results: means and deviations by NumPy, what is unfinished, other recipes, figures, pages."""

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from keras_resnet import analysis
from tests.support import lab_runs, shipping
from train.lab import figures, measuring, page, planned as planning, results, runs, tables
from train.lab.experiment import (
    RESPONSE,
    TEST,
    TRAIN,
    Comparison,
    Ensemble,
    Experiment,
    Measure,
    Panel,
    Published,
    Run,
)
from train.lab.experiments import EXPERIMENTS
from train.lab.planned import Place, Planned, Schedule
from train.lab.results import Outcome

MULTI = Measure("top5", "multi_scale")
PAIR = Experiment(
    name="pair",
    shows="two networks",
    runs=(Run("plain-20", "cifar10_plain20"), Run("ResNet-20", "cifar10_resnet20")),
    panels=(Panel("both", ("plain-20", "ResNet-20")),),
    published=(Published("ResNet-20", 8.75, "Table 6"),),
    comparisons=(Comparison("ResNet-20", "plain-20"),),
)
SCHEDULE = Schedule(8000)
ERRORS = {"plain-20": [9.5, 10.25, 9.0], "ResNet-20": [8.5, 8.0, 9.0]}


def outcome(folder: Path, experiment: Experiment = PAIR, schedule: Schedule = SCHEDULE) -> Outcome:
    every = planning.planned(experiment.runs, [1, 2, 3], schedule, folder)
    return results.outcome(experiment, schedule, every, Place(folder))


def write(folder: Path) -> None:
    """Writes all runs of the pair, finished."""
    for one in outcome(folder).planned:
        lab_runs.run(one, 100 - ERRORS[one.run.name][one.seed - 1])


def rows(found: Outcome) -> dict[tuple[str, str], dict]:
    values = results.summary(found, "python -m train.lab pair")
    return {(row["run"], row["measure"]): row for row in values["rows"]}


def test_means_and_deviations_are_numpys(tmp_path):
    write(tmp_path)
    found = rows(outcome(tmp_path))
    for name, errors in ERRORS.items():
        row = found[name, "test error (%)"]
        assert row["mean"] == pytest.approx(np.mean(errors))
        assert row["std"] == pytest.approx(np.std(errors, ddof=1))
        assert row["n"] == row["wanted"] == 3
        assert list(row["values"].values()) == pytest.approx(errors)
        assert found[name, "training error (%)"]["mean"] == pytest.approx(10.0)
    values = results.summary(outcome(tmp_path), "")
    assert values["complete"]
    text = "\n".join(tables.table(values))
    assert "| ResNet-20 | test error (%) | 8.75 (Table 6) | 8.50 ± 0.50 (n=3) | `python -m" in text
    assert tables.claims(values) == [
        "test error (%): ResNet-20 < plain-20: holds (8.5 and 9.58)",
    ]


def test_a_summary_says_what_is_unfinished(tmp_path):
    write(tmp_path)
    every = outcome(tmp_path).planned
    for one in every:
        if one.run.name == "ResNet-20" and one.seed > 1:
            (one.workdir / "result.json").unlink()
    found = outcome(tmp_path)
    values = results.summary(found, "")
    assert not values["complete"]
    text = "\n".join(tables.table(values))
    assert "8.50 (n=1 of 3 so far)" in text
    assert "step 8,000 of 8,000" in [one["state"] for one in values["runs"]]
    first = next(one for one in every if one.run.name == "ResNet-20")
    (first.workdir / "final.weights.h5").unlink()  # they may be elsewhere
    assert first in outcome(tmp_path).finished
    (first.workdir / "result.json").unlink()
    values = results.summary(outcome(tmp_path), "")
    text = "\n".join(tables.table(values))
    assert "| ResNet-20 | test error (%) | 8.75 (Table 6) | unfinished |" in text
    assert "| ResNet-20 | training error (%) |" not in text
    assert tables.claims(values)[0].endswith("not measured yet")


def test_the_papers_numbers_are_not_those_of_other_data(tmp_path):
    found = rows(outcome(tmp_path, schedule=Schedule(None, {"dataset": "digits"})))
    assert found["ResNet-20", "test error (%)"]["paper"] is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"boundaries": [1, 2]}, r"boundaries=\(1, 2\) there, \(4000, 6000\) now"),
        ({"steps": 9000}, "steps=9000 there, 8000 now"),
        ({"seed": 7}, "seed=7 there, 1 now"),
    ],
)
def test_a_workdir_of_another_recipe_is_refused(tmp_path, change, told):
    write(tmp_path)
    one = outcome(tmp_path).planned[0]
    recipe = json.loads(one.recipe.to_json())
    (one.workdir / "recipe.json").write_text(json.dumps(recipe | change))
    with pytest.raises(ValueError, match=f"holds a run of another recipe .{told}.*another workdir"):
        outcome(tmp_path)


def test_what_may_differ_in_a_finished_run(tmp_path):
    write(tmp_path)
    one = outcome(tmp_path).planned[0]
    recipe = json.loads(one.recipe.to_json())
    changed = {"save_every": 7, "eval_every": 9, "expected": "x"}
    (one.workdir / "recipe.json").write_text(json.dumps(recipe | changed))
    assert one in outcome(tmp_path).finished


def test_where_numbers_come_from(tmp_path):
    write(tmp_path)
    one = outcome(tmp_path).planned[0]
    shipping.started(
        one.workdir,
        shipping.START | {"precision": "float32"},
        shipping.START | {"after_step": 10, "precision": "bfloat16", "changed": True},
    )
    place = Place(tmp_path, "/data", ("--strategy=mirrored",))
    values = results.summary(outcome(tmp_path)._replace(place=place), "")
    first = values["runs"][0]
    assert [start["after_step"] for start in first["starts"]] == [0, 10]
    last = "--strategy=mirrored --data_dir=… --workdir=…/cifar10_plain20_8000"
    assert last in first["command"]
    assert str(tmp_path) not in json.dumps(values)
    told = tables.origins(values)
    commit = shipping.COMMIT[:12]
    assert told[0] == (
        f"plain-20, seed 1: finished; commit {commit}, {commit}+; float32, bfloat16; 1 x abacus;"
        " 2026-01-31"
    )
    assert told[1].endswith("finished; commit unknown: the run does not record it")


def test_an_ensemble_needs_all_its_members(tmp_path):
    experiment = Experiment(
        name="both",
        shows="",
        runs=PAIR.runs,
        panels=(),
        measures=(TEST,),
        ensemble=Ensemble("ensemble", ("plain-20", "ResNet-20", "ResNet-20"), (MULTI,)),
        published=(Published("ensemble", 3.57, "Table 5", MULTI),),
    )
    assert experiment.ensemble is not None
    write(tmp_path)
    found = outcome(tmp_path, experiment)
    members = measuring.members_of(experiment.ensemble, found.finished)
    assert [(one.run.name, one.seed) for one in members] == [
        ("plain-20", 1),
        ("ResNet-20", 1),
        ("ResNet-20", 2),
    ]
    assert measuring.members_of(experiment.ensemble, found.finished[:2]) == []
    command = measuring.evaluation(members, "multi_scale", "…")
    assert sum(word.startswith("--weights=") for word in command) == 3
    assert command[-3:] == ["--dataset=cifar10", "--data_dir=…", "--protocol=multi_scale"]
    assert not results.summary(found, "")["complete"]
    measured = {"top5": 96.0, "command": "python -m train.evaluate"}
    measuring.ensemble_file(members, "multi_scale").write_text(json.dumps(measured))
    values = results.summary(found, "")
    assert values["complete"]
    row = values["rows"][-1]
    assert (row["mean"], row["paper"]) == (pytest.approx(4.0), "3.57 (Table 5)")


def test_the_training_error_is_that_of_the_last_lines(tmp_path):
    one = outcome(tmp_path).planned[0]
    lab_runs.run(one, 90.0, train_top1=80.0)
    lines = (one.workdir / "metrics.jsonl").read_text()
    (one.workdir / "metrics.jsonl").write_text(f'{lines}\n{{"step": 8001, "spl')
    assert runs.value(one, TRAIN) == pytest.approx(20.0)
    assert runs.images_per_second(one.workdir) == 1000
    assert runs.images_per_second(tmp_path) is None
    assert runs.last_step(one.workdir) == 8000


def lines_of(picture: Figure, panel: int) -> dict[str, np.ndarray]:
    """The curves of a panel by colour and weight."""
    return {
        f"{line.get_color()} {'bold' if line.get_linewidth() > 1 else 'thin'}": np.array(
            line.get_data()
        )
        for line in picture.axes[panel].get_lines()
        if len(line.get_xdata()) > 1
    }


def test_training_curves_are_thin_and_test_curves_bold(tmp_path):
    write(tmp_path)
    picture = figures.curves(outcome(tmp_path))
    drawn = lines_of(picture, 0)
    for name, colour in zip(("plain-20", "ResNet-20"), figures.COLOURS, strict=False):
        steps, errors = drawn[f"{colour} bold"]
        np.testing.assert_allclose(errors, ERRORS[name][0])
        assert steps[-1] == 8000
        np.testing.assert_allclose(drawn[f"{colour} thin"][1], 10.0)
    assert picture.axes[0].get_xlabel() == "steps"
    figures.draw(outcome(tmp_path), tmp_path / "pair.png")
    with Image.open(tmp_path / "pair.png") as image:
        pixels = np.array(image.convert("RGB")).reshape(-1, 3)
    assert 0.5 < np.mean(pixels.min(axis=1) > 250) < 0.97


def test_an_experiment_that_has_not_begun_is_drawn_and_says_so(tmp_path):
    picture = figures.curves(outcome(tmp_path))
    title = picture.get_suptitle()
    assert title.splitlines()[0] == "pair on cifar10; 6 of 6 runs unfinished"
    assert title.splitlines()[1].startswith("8,000 steps, with boundaries")
    assert lines_of(picture, 0) == {}


def test_responses_are_measured_once_and_drawn_in_order_and_sorted(tmp_path):
    experiment = EXPERIMENTS["responses"]
    found = outcome(tmp_path, experiment)
    deviations = {"a": 0.25, "b": 0.75, "c": 0.5}
    first = found.planned[0]
    lab_runs.run(first, 90.0)
    (first.workdir / "responses.json").write_text(json.dumps(deviations))
    assert runs.value(first, RESPONSE) == pytest.approx(0.5)
    second = found.planned[1]
    lab_runs.run(second, 90.0)
    weights = second.workdir / "final.weights.h5"
    weights.unlink()
    told = measuring.measure(experiment, [first, second], found.place)
    assert told == [f"{second.run.name}, seed {second.seed}: not measured: no {weights}"]
    picture = figures.responses(outcome(tmp_path, experiment))
    shown = [np.array(axes.get_lines()[0].get_ydata()) for axes in picture.axes[::2]]
    np.testing.assert_array_equal(shown, [[0.25, 0.75, 0.5], [0.75, 0.5, 0.25]])


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Planned:
    """A run of a few steps on digits, by the planned recipe."""
    from tests.support import helpers

    folder = tmp_path_factory.mktemp("trained")
    schedule = Schedule(4, {"dataset": "digits", "batch_size": 8, "image_size": 8})
    (one,) = planning.planned(EXPERIMENTS["table6"].runs[:1], [1], schedule, folder)
    done = helpers.module(*one.command(Place(folder))[1:])
    assert done.returncode == 0, done.stderr
    return one


def test_responses_of_a_trained_network(trained, monkeypatch):
    """The network and the images are those of the run; what is measured is another module's."""
    seen = {}

    def responses(model, images):
        seen["outputs"] = np.asarray(model(images[:8]))
        seen["images"] = np.asarray(images)
        return {"stem_conv1": 0.5}

    monkeypatch.setattr(analysis, "responses", responses)
    experiment = EXPERIMENTS["responses"]
    place = Place(trained.workdir.parent)
    assert measuring.measure(experiment, [trained], place) == []
    assert runs.responses(trained.workdir) == {"stem_conv1": 0.5}
    assert seen["images"].shape == (360, 8, 8, 1)  # all test images of digits
    assert seen["outputs"].shape == (8, 10)
    assert abs(seen["images"].mean()) < 2  # the mean image was subtracted from 0..255
    monkeypatch.delattr(analysis, "responses")  # measured once
    assert measuring.measure(experiment, [trained], place) == []


def test_a_protocol_is_measured_by_the_command_and_a_failure_is_told(trained, monkeypatch):
    """The command refuses this protocol in one line, which names the network."""
    from tests.support.forked import Forked
    from train.lab import processes

    monkeypatch.setattr(processes, "Popen", Forked)
    experiment = Experiment(
        name="x", shows="", runs=(trained.run,), panels=(), measures=(Measure("top1", "no_such"),)
    )
    (told,) = measuring.measure(experiment, [trained], Place(trained.workdir.parent))
    assert told.startswith("ResNet-20 of seed 1, by no_such: not measured: error: ")
    schedule = Schedule(4, {"dataset": "digits", "batch_size": 8, "image_size": 8})
    every = planning.planned(experiment.runs, [1], schedule, trained.workdir.parent)
    found = results.outcome(experiment, schedule, every, Place(trained.workdir.parent))
    values = results.summary(found, "")
    assert values["complete"] is False
    assert values["runs"][0]["finished"]
    assert "| test error (%), no_such |  | not measured |" in "\n".join(tables.table(values))


def test_pages_show_the_results():
    """Otherwise: python -m train.lab.page."""
    assert page.PAGE.read_text(encoding="utf-8") == page.page()
    text = page.GUIDE.read_text(encoding="utf-8")
    assert text == page.guide(text)
    for name in EXPERIMENTS:
        assert f"`python -m train.lab {name} --data_dir" in text


def test_the_page_of_an_experiment(tmp_path):
    write(tmp_path)
    values = results.summary(outcome(tmp_path), "python -m train.lab pair --steps=8000")
    text = "\n".join(page.section(values, "pair_8000_steps"))
    assert "`python -m train.lab pair --steps=8000`; 8,000 steps, with boundaries" in text
    assert "![pair](../results/pair_8000_steps.png)" in text
    assert "- test error (%): ResNet-20 < plain-20: holds" in text
    assert "**Unfinished.**" not in text
    values["complete"] = False
    assert "**Unfinished.** two networks." in "\n".join(page.section(values, "x"))


def test_a_run_under_way_is_no_result(tmp_path):
    one, other = outcome(tmp_path).planned[:2]
    lab_runs.run(one, 91.5, upto=4000)
    lab_runs.run(other, 92.0)
    text = "\n".join(page.archive(tmp_path))
    assert f"| {one.workdir.name} | step 4,000 of 8,000 | 1 | 8.50 |" in text
    assert other.workdir.name not in text
    assert page.archive(tmp_path / "nothing") == []
