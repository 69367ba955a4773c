"""Pictures of runs: what is drawn is what the file says, and nothing overlaps."""

import itertools
import json
import time

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from PIL import Image

from tests.support import helpers
from tests.support.history_files import cifar, measure, train, write
from train import curves


def drawn(figure: Figure) -> dict[tuple[str, str], np.ndarray]:
    """The points of each line that is drawn, by the label of its panel and its own."""
    return {
        (axes.get_ylabel(), str(line.get_label())): np.array(line.get_data())
        for axes in figure.axes
        for line in axes.get_lines()
    }


def boxes(figure: Figure) -> list[tuple[str, Bbox]]:
    """Where the texts are that one can see."""
    figure.canvas.draw()
    unseen = set()
    for axis in itertools.chain(*((axes.xaxis, axes.yaxis) for axes in figure.axes)):
        low, high = sorted(axis.get_view_interval())
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
            if not low <= tick.get_loc() <= high:
                unseen |= {tick.label1, tick.label2}
    renderer = figure.canvas.get_renderer()
    return [
        (text.get_text(), Text.get_window_extent(text, renderer))
        for text in figure.findobj(Text)
        if text not in unseen and text.get_visible() and text.get_text()
    ]


def check_layout(figure: Figure) -> list[str]:
    """Checks that texts touch neither each other, nor the border, nor curves; returns them."""
    found = boxes(figure)
    for text, box in found:
        assert box.x0 >= 0, text
        assert box.y0 >= 0, text
        assert box.x1 <= figure.bbox.x1, text
        assert box.y1 <= figure.bbox.y1, text
    for (text, box), (other, its) in itertools.combinations(found, 2):
        assert not box.overlaps(its), f"{text!r} overlaps {other!r}"
    legend = figure.axes[0].get_legend().get_window_extent()
    for axes in figure.axes:
        assert not axes.bbox.overlaps(legend)
        assert axes.bbox.width > 0.5 * figure.bbox.width
    return [text for text, _ in found]


def test_what_is_drawn_is_what_the_file_says(tmp_path) -> None:
    lines = [train(10, 2.0, 0.25, 0.1), train(20, 0.1, 0.875, 0.01)]
    lines += [measure(10, 60.0, 1.5), measure(15, 92.5, 0.25), measure(20, 90.0, 0.5)]
    figure = curves.figure([write(tmp_path, lines)])
    expected = {
        ("error (%)", "train"): [[10, 20], [75, 12.5]],
        ("error (%)", "test"): [[10, 15, 20], [40, 7.5, 10]],
        ("error (%)", "test best"): [[15], [7.5]],
        ("loss", "train"): [[10, 20], [2.0, 0.1]],
        ("loss", "test"): [[10, 15, 20], [1.5, 0.25, 0.5]],
        ("learning\nrate", "train"): [[10, 20], [0.1, 0.01]],
    }
    found = drawn(figure)
    assert found.keys() == expected.keys()
    for key, points in expected.items():
        np.testing.assert_array_equal(found[key], points)
    assert [axes.get_yscale() for axes in figure.axes] == ["linear", "log", "log"]
    texts = check_layout(figure)
    assert {"test: 10.00 %, best 7.50 % ○ at step 15", "train: 12.50 %"} <= {*texts}
    assert {"test 10.00", "train 12.50", "test 0.5", "train 0.1"} <= {*texts}
    assert {"resnet20 on digits, batch size 64", "step"} <= {*texts}


def test_a_loss_that_spans_little_is_not_logarithmic(tmp_path) -> None:
    figure = curves.figure([write(tmp_path, [train(1, 0.5), train(2, 0.1)])])
    assert figure.axes[1].get_yscale() == "linear"


def test_a_long_run_looks_as_in_the_paper(tmp_path) -> None:
    workdir = cifar(tmp_path, "resnet20")
    figure = curves.figure([workdir])
    entries = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    points = [(e["step"], 100 - 100 * e["accuracy"]) for e in entries if e["split"] == "train"]
    found = drawn(figure)
    np.testing.assert_allclose(found["error (%)", "train raw"].T, points)
    _, medians = found["error (%)", "train"]
    assert medians[318] > 3 * medians[321] / 1.2  # the cliff at 32,000 stays one
    raw, line = (figure.axes[0].get_lines()[i] for i in (-2, -1))
    assert raw.get_linewidth() < line.get_linewidth()
    assert min(mpl.colors.to_rgb(raw.get_color())) > 0.6
    texts = check_layout(figure)
    assert {*"0123456", "step (1e4)", "0.1", "0.01", "0.001"} <= {*texts}
    assert figure.axes[0].get_ylim()[1] < 50  # how bad the first steps were is no news


HARD = {
    "one line": [train(1)],
    "one step 0": [train(0, 0.0, 0.0, 0.0)],
    "one evaluation": [measure(5, 50.0)],
    "no evaluation": [train(1), train(2)],
    "only evaluations": [measure(s, 50.0 + s) for s in (1, 2, 3)],
    "only a loss": [{"step": 7, "split": "train", "loss": 1.5e-9}],
    "only a rate": [{"step": 7, "split": "train", "learning_rate": 0.0}],
    "nothing finite": [train(s, float("nan"), float("nan"), float("inf")) for s in (1, 2)],
    "diverged": [train(s, 1.0 if s < 500 else float("nan")) for s in range(1, 1001)],
    "enormous": [train(s, 10.0 ** (s * 3), 0.0) for s in range(100)],
    "tiny rates": [train(s, 1.0, 1.0, 10.0**-s) for s in range(1, 30)],
    "perfect": [train(1, 0.0, 1.0), train(2, 1.0, 1.0), measure(2, 100.0, 0.0)],
    "the same end": [train(1, 0.7, 0.9), train(2, 0.7, 0.9), *(measure(s, 90.0) for s in (1, 2))],
    "a loss of 0": [train(1, 1.0), train(2, 0.01), train(3, 0.0), measure(3, 50.0, 0.0)],
    "a loss below 0": [train(1, 1.0), train(2, 0.01), train(3, -1.0)],
    "validation": [
        train(9),
        measure(9, 74.9),
        *(measure(s, 75.0, 0.5, "validation") for s in (1, 9)),
    ],
}


@pytest.mark.parametrize("name", HARD)
def test_hard_cases_are_drawn_without_overlaps(name, tmp_path) -> None:
    check_layout(curves.figure([write(tmp_path, HARD[name])]))


def test_a_run_that_broke_says_so(tmp_path) -> None:
    lines = [train(1, 2.0), train(2, 0.5), train(3, float("nan"))]
    figure = curves.figure([write(tmp_path, lines, network="$a_^b$")])
    assert curves._save(figure, tmp_path / "curves.svg").stat().st_size > 10_000
    texts = check_layout(figure)
    assert {"train nan", "$a_^b$ on digits, batch size 64"} <= {*texts}


def test_100_000_lines_are_drawn_in_seconds(tmp_path) -> None:
    line = json.dumps({**train(7), "loss": 8.25})
    lines = [line.replace("7,", f"{s},").replace("8.25", f"{s % 97}.5") for s in range(100_000)]
    workdir = write(tmp_path, lines)
    start = time.process_time()
    figure = curves.figure([workdir])
    paths = [curves._save(figure, workdir / f"curves.{kind}") for kind in ("png", "svg")]
    assert time.process_time() - start < 3
    assert all(path.stat().st_size < 500_000 for path in paths)
    assert drawn(figure)["loss", "train raw"].shape == (2, 100_000)


def test_the_same_metrics_give_the_same_bytes_and_pixels_show_them(tmp_path) -> None:
    workdir = cifar(tmp_path, "resnet20")
    files = {tmp_path / "curves.svg", tmp_path / "curves.png"}
    before = {*tmp_path.iterdir()}
    assert curves.draw(workdir) in files
    assert {*tmp_path.iterdir()} == before | files
    first = [file.read_bytes() for file in sorted(files)]
    with mpl.rc_context({"lines.linewidth": 9, "svg.hashsalt": None, "axes.grid": False}):
        curves.draw(workdir)
    assert [file.read_bytes() for file in sorted(files)] == first
    assert b"<dc:date>" not in first[1]
    with Image.open(tmp_path / "curves.png") as image:
        pixels = np.array(image.convert("RGB")).reshape(-1, 3)
    assert len(pixels) > 1e6
    assert 0.5 < np.mean(pixels.min(axis=1) > 250) < 0.97
    for colour in ("#0072B2", "#D55E00"):
        wanted = np.array(mpl.colors.to_rgb(colour)) * 255
        assert np.sum(np.abs(pixels - wanted).max(axis=1) < 2) > 500


def test_runs_are_compared_by_colour_and_splits_by_dashes(tmp_path) -> None:
    workdirs = [cifar(tmp_path / "a", "plain20", 8.0), cifar(tmp_path / "b", "plain56", 13.0)]
    figure = curves.figure([*workdirs, workdirs[0]])
    texts = check_layout(figure)
    found = {str(line.get_label()): line for line in figure.axes[0].get_lines()}
    looks = {name: (line.get_color(), line.get_linestyle()) for name, line in found.items()}
    assert looks["plain20 test"] == (curves.RUNS[0], "-")
    assert looks["plain20 train"] == (curves.RUNS[0], "--")
    assert looks["plain56 test"] == (curves.RUNS[1], "-")
    assert looks["plain56 train"] == (curves.RUNS[1], "--")
    assert found["plain56 test"].get_linewidth() > found["plain56 train"].get_linewidth()
    assert found["plain20 test"].get_marker() != found["plain56 test"].get_marker()
    assert np.nanmin(found["plain56 test"].get_ydata()) == pytest.approx(14.0)
    assert {"plain20 9.00", "plain56 14.00", "plain20, plain56 on cifar10, batch size 128"} <= {
        *texts
    }


def test_as_many_runs_as_colours_with_names_that_are_long(tmp_path) -> None:
    parents = [tmp_path / f"{'parent' * 9}{i}" for i in range(8)]
    workdirs = [cifar(p / ("run" * 20), "a_very_long_network", 8, "validation") for p in parents]
    check_layout(curves.figure(workdirs[:7]))
    with pytest.raises(ValueError, match="at most 7 runs can be told apart, got 8"):
        curves.figure(workdirs)


@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_labels_are_moved_apart_and_no_further(count) -> None:
    heights = sorted(np.random.default_rng(count).uniform(0.3, 0.5, count))
    placed = np.array(curves._apart(heights, 0.1))
    assert np.all(np.diff(placed) > 0.1 - 1e-9)
    assert placed.min() >= 0
    assert placed.max() <= 1
    far = [0.1, 0.5, 0.9][:count]
    assert curves._apart(far, 0.1) == pytest.approx(far)
    assert curves._apart([1.0, 1.0], 0.1) == pytest.approx([0.9, 1.0])
    assert curves._apart([0.5, 0.5], 0.1) == pytest.approx([0.45, 0.55])


def test_the_command(tmp_path) -> None:
    runs = [cifar(tmp_path / name, name) for name in ("plain20", "plain56")]
    both = [f"--workdir={run}" for run in runs]
    out = tmp_path / "both.svg"
    done = helpers.python("-m", "train.curves", *both, f"--out={out}", PYTHONHASHSEED="7")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{out}\n", "")
    first = out.read_bytes()
    curves._save(curves.figure(runs), out)
    assert out.read_bytes() == first
    done = helpers.python("-m", "train.curves", *both, "--out=x.pdf")
    assert done.returncode == 1
    assert done.stderr == "error: --out must be FILE.svg or FILE.png, got 'x.pdf'\n"
    done = helpers.python("-m", "train.curves", f"--workdir={tmp_path}")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: cannot read the metrics '{tmp_path}/metrics.jsonl'")


def test_pyplot_stays_out() -> None:
    code = "import sys, train.curves; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert helpers.python("-c", code).returncode == 0
