"""Metrics are read as they were written, whatever else stands in their file."""

import json
import statistics
from pathlib import Path

import numpy as np
import pytest

from tests.support.history_files import measure, train, write
from train.log import history


def points(workdir: Path) -> dict[tuple[str, str], np.ndarray]:
    return {(curve.panel, curve.split): curve.points for curve in history.read([workdir])[0]}


def test_scores_are_read_as_errors(tmp_path) -> None:
    lines = [train(2, 2.0, 0.25), measure(2, 60.0), measure(1, 5.0, split="validation")]
    found = points(write(tmp_path, lines))
    expected = {
        (history.ERROR, "train"): [[2], [75]],
        (history.ERROR, "test"): [[2], [40]],
        (history.ERROR, "validation"): [[1], [95]],
        (history.LOSS, "train"): [[2], [2.0]],
        (history.LOSS, "test"): [[2], [0.7]],
        (history.LOSS, "validation"): [[1], [0.7]],
        (history.RATE, "train"): [[2], [0.1]],
    }
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        np.testing.assert_array_equal(found[key], values)


def test_the_trend_is_a_running_median(tmp_path) -> None:
    errors = [float(e) for e in np.random.default_rng(0).uniform(0, 9, 640)]
    lines = [train(s, error) for s, error in enumerate(errors)]
    (curve,) = (c for c in history.read([write(tmp_path, lines)])[0] if c.panel == history.LOSS)
    assert curve.noisy
    steps, medians = curve.trend
    np.testing.assert_array_equal(steps, np.arange(640))
    for i in range(634):
        first = [errors[0]] * (6 - i)
        assert medians[i] == statistics.median([*first, *errors[max(0, i - 6) : i + 7]])
    assert set(medians[633:]) == {statistics.median(errors[-13:])}
    assert curve.final == f"{medians[-1]:.3g}"


def test_few_points_are_their_own_trend(tmp_path) -> None:
    curves, _ = history.read([write(tmp_path, [train(s) for s in range(100)])])
    assert all(curve.trend is curve.points for curve in curves)


def test_what_is_not_finite_is_a_gap(tmp_path) -> None:
    losses = [1.0, float("inf"), 0.5, float("-inf"), float("nan")]
    lines = [train(step, loss) for step, loss in enumerate(losses)]
    found = points(write(tmp_path, lines))[history.LOSS, "train"]
    np.testing.assert_array_equal(found[1], [1.0, np.nan, 0.5, np.nan, np.nan])


def test_lines_that_tell_nothing_are_passed_over(tmp_path) -> None:
    good = {**train(3), "note": {"deep": [1]}, "top1": 5.0, "accuracy5": "x"}
    junk = ["", "[1, 2]", "7", '"train"', "null", "{}", '{"step": 1}', "[" * 100_000]
    junk += ['{"step": NaN, "split": "train"}', '{"step": -1, "split": "train", "loss": 1}']
    junk += ['{"step": 4, "split": "other", "loss": 1}', '{"step": 4, "split": [], "loss": 1}']
    junk += ['{"step": 4, "split": "train", "loss": null, "accuracy": "high"}']
    again = [train(2), train(1), train(2, 0.25)]
    found = points(write(tmp_path, [good, *junk, *again, json.dumps(train(5))[:40]]))
    np.testing.assert_array_equal(found[history.LOSS, "train"], [[1, 2, 3], [0.5, 0.25, 0.5]])
    np.testing.assert_array_equal(found[history.ERROR, "train"], [[1, 2, 3], [25, 25, 25]])


def test_integers_are_numbers_however_long(tmp_path) -> None:
    long = f'{{"step": 1, "split": "test", "top1": 90, "loss": 1{"0" * 400}}}'
    found = points(write(tmp_path, [long, measure(2, 95, 1)]))
    np.testing.assert_array_equal(found[history.ERROR, "test"], [[1, 2], [10, 5]])
    np.testing.assert_array_equal(found[history.LOSS, "test"], [[1, 2], [np.nan, 1]])


@pytest.mark.parametrize("text", [None, "", "{}\n"])
def test_a_run_without_metrics_is_named(text, tmp_path) -> None:
    if text is not None:
        (tmp_path / "metrics.jsonl").write_text(text)
    with pytest.raises(ValueError, match=rf"{tmp_path.name}.metrics\.jsonl"):
        history.read([tmp_path])


def test_titles_say_what_the_runs_share(tmp_path) -> None:
    one = write(tmp_path / "a", [train(1)])
    two = write(tmp_path / "b", [train(1)], network="plain20", batch_size=128)
    assert history.read([one])[1] == "resnet20 on digits, batch size 64"
    assert history.read([one, two])[1] == "resnet20, plain20 on digits"
    many = [write(tmp_path / f"{i}", [train(1)], network=f"resnet{i}") for i in range(5)]
    assert history.read(many)[1] == "5 networks on digits, batch size 64"


@pytest.mark.parametrize("recipe", [None, "[1]", "{", '{"network": null}'])
def test_a_run_without_a_recipe_has_its_folder(recipe, tmp_path) -> None:
    workdir = write(tmp_path / "mine", [train(1)])
    (workdir / "recipe.json").unlink()
    if recipe:
        (workdir / "recipe.json").write_text(recipe)
    assert history.read([workdir])[1] == "mine"


@pytest.mark.parametrize(
    ("places", "networks", "names"),
    [
        (["x"], "a", [""]),
        (["x", "x/../x"], "aa", [""]),
        (["x", "y"], "ab", ["a", "b"]),
        (["x", "y"], "aa", ["a (x)", "a (y)"]),
        (["x/r", "y/r"], "aa", ["a (x/r)", "a (y/r)"]),
        (["x/y/r", "z/y/r"], "aa", ["a (1)", "a (2)"]),
    ],
)
def test_names_tell_runs_apart(places, networks, names, tmp_path) -> None:
    pairs = zip(places, networks, strict=True)
    workdirs = [write(tmp_path / place, [train(1)], network=name) for place, name in pairs]
    assert list(dict.fromkeys(curve.run for curve in history.read(workdirs)[0])) == names
