"""Draws runs as the paper's figures do: `python -m train.curves --workdir=A --workdir=B`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from train.log import history
from train.log.history import ERROR, LOSS, PANELS, RATE, Curve
from train.run import files

FLAGS = flags.FLAGS
HEIGHTS = {ERROR: 3.0, LOSS: 1.7, RATE: 0.9}
# Okabe and Ito's colours, which most people can tell apart; in greyscale, dashes and markers help.
COLOURS = {"train": "#D55E00", "validation": "#009E73", "test": "#0072B2"}
RUNS = ("#000000", "#D55E00", "#0072B2", "#56B4E9", "#009E73", "#CC79A7", "#E69F00")
MARKERS = "osD^vPX"
FEW = 30  # curves with at most so many points have markers
HUGE = 5000  # curves with more points are pixels in the SVG
STYLE: list[Any] = [
    "default",  # not what a matplotlibrc says: the same metrics give the same bytes
    {
        "agg.path.chunksize": 10_000,
        "axes.axisbelow": True,
        "axes.grid": True,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "font.size": 8,
        "grid.color": "#e4e4e4",
        "grid.linewidth": 0.6,
        "svg.hashsalt": "keras_resnet",
        "text.parse_math": False,  # names may contain dollar signs
    },
]


def figure(workdirs: Sequence[Path]) -> Figure:
    """Draws one run with a colour for each split, or several with a colour for each run.

    Raises:
        ValueError: if a run has no metrics, or there are more runs than colours.
    """
    curves, title = history.read(workdirs)
    runs = 1 + max(curve.place for curve in curves)
    if runs > len(RUNS):
        raise ValueError(f"at most {len(RUNS)} runs can be told apart, got {runs}")
    panels = {panel: [curve for curve in curves if curve.panel == panel] for panel in PANELS}
    panels = {panel: found for panel, found in panels.items() if found}
    with style.context(STYLE):
        picture = Figure(layout="constrained")
        FigureCanvasAgg(picture)
        ratios = [HEIGHTS[panel] for panel in panels]
        grid = picture.subplots(len(panels), sharex=True, squeeze=False, height_ratios=ratios)
        places = list(zip(grid[:, 0], panels.items(), strict=True))
        for axes, (panel, found) in reversed(places):  # the top panel last: it has the legend
            lines = [_plot(axes, curve) for curve in found]
            _scale(axes, panel, lines)
        rows = _legend(axes, found, lines)
        picture.set_size_inches(6.4, 4.4 + 0.17 * rows)
        _steps(grid[-1, 0], max(curve.points[0, -1] for curve in curves))
        picture.suptitle(title, fontsize=9)
        picture.align_ylabels()
        picture.draw_without_rendering()  # only now the height of the panels is known
        for axes, (panel, found) in places:
            if panel != RATE:
                _label_ends(axes, found, gap=10 / 72 * picture.dpi / axes.bbox.height)
        picture.draw_without_rendering()
        picture.set_layout_engine("none")  # all formats share this layout, and are drawn faster
    return picture


def _colour(curve: Curve) -> str:
    if curve.run:
        return RUNS[curve.place]
    return "#444444" if curve.panel == RATE else COLOURS[curve.split]


def _mix(colour: str, share: float, other: float) -> tuple[float, ...]:
    """Mixes a share of a colour with black (0) or white (1); opaque, so overlaps do not add up."""
    return tuple(share * part + (1 - share) * other for part in to_rgb(colour))


def _plot(axes: Axes, curve: Curve) -> Line2D:
    """Adds a curve to its panel; a noisy one has its trend in front of faint points."""
    colour = _colour(curve)
    count = curve.points.shape[1]
    if curve.noisy:
        faint: dict[str, Any] = {"color": _mix(colour, 0.35, 1), "rasterized": count > HUGE}
        axes.plot(*curve.points, label=f"{curve.name} raw", linewidth=0.5, zorder=1.5, **faint)
    look: dict[str, Any] = {"color": colour, "linewidth": 1.7, "zorder": 3}
    if curve.panel == RATE:  # schedules often coincide: the lower lines are broader
        look |= {"linewidth": max(0.8, 2.6 - 0.9 * curve.place) if curve.run else 1.0}
    elif curve.train:
        look |= {"linewidth": 1.0, "linestyle": (0, (4, 1.5)), "zorder": 2.5}
    if count == 1 and not curve.train:
        look |= {"marker": "*", "markersize": 8, "linestyle": ""}
    elif count <= FEW or (curve.run and not curve.train):
        shape = MARKERS[curve.place] if curve.run else "o"
        every = 1 if count <= FEW else (count // 10 * (curve.place + 1) // len(RUNS), count // 10)
        look |= {"marker": shape, "markersize": 2.5 if curve.train else 4, "markevery": every}
    if curve.best is not None:
        ring: dict[str, Any] = {"marker": "o", "markersize": 8, "fillstyle": "none", "zorder": 4}
        best = curve.points[:, [curve.best]]
        axes.plot(*best, color=colour, label=f"{curve.name} best", linestyle="", **ring)
    (line,) = axes.plot(*curve.trend, label=curve.name, **look)
    return line


def _scale(axes: Axes, panel: str, lines: Sequence[Line2D]) -> None:
    """Chooses the scale of an axis, logarithmic where that shows more, without the first errors."""
    axes.set_ylabel(panel)
    axes.yaxis.set_major_locator(MaxNLocator(7 if panel == ERROR else 4, steps=[1, 2, 5, 10]))
    steps, values = np.concatenate([np.array(line.get_data()) for line in lines], axis=1)
    late = steps >= 0.1 * steps.max() * (len(steps) > 20)
    seen = values[np.isfinite(values) & (late if panel == ERROR else True)]
    positive = seen[seen > 0]
    if not len(seen):
        axes.set_yticks([])
        axes.text(0.5, 0.5, "no finite values", transform=axes.transAxes, ha="center", va="center")
    elif panel == ERROR:
        top = max(seen) or 1
        axes.set_ylim(-0.03 * top, 1.08 * top)
    elif min(seen) >= 0 and len(positive) and (panel == RATE or max(seen) > 10 * min(positive)):
        low = min(positive)
        high = max(positive)
        low = max(low, high / 1500) if panel == RATE else low  # a cosine ends close to 0
        axes.set_ylim(low / 1.5, high * 1.5)
        axes.set_yscale("log", nonpositive="mask")
        digits = (1, 2, 5) if low < high < (100 if panel == LOSS else 10) * low else (1,)
        axes.yaxis.set_major_locator(LogLocator(subs=digits, numticks=5))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _steps(axes: Axes, last: float) -> None:
    """Numbers the steps as the paper does, whose axes say "iter. (1e4)"."""
    power = 4 if last >= 20_000 else 3 if last >= 10_000 else 0
    axes.set_xlim(0, 1.015 * last or 1)
    axes.set_xlabel(f"step (1e{power})" if power else "step")
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step / 10**power:,g}"))


def _legend(axes: Axes, curves: Sequence[Curve], lines: Sequence[Line2D]) -> int:
    """Puts a table above the first panel, outside of all curves; returns its number of rows."""
    unit = " %" if curves[0].panel == ERROR else ""
    texts = []
    for curve in curves:
        texts.append(f"{curve.name}{' (median)' * curve.noisy}: {curve.final}{unit}")
        if curve.best is not None:
            step, value = curve.points[:, curve.best]
            texts[-1] += f", best {value:.2f}{unit} ○{'' if curve.run else f' at step {step:,.0f}'}"
    half = sum(not curve.train for curve in curves)
    widths = [max(map(len, column), default=0) for column in (texts[:half], texts[half:])]
    table = 2 * half == len(curves) and sum(widths) <= 75
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.2}
    axes.legend(lines, texts, ncols=1 + table, frameon=False, **place)
    return half if table else len(curves)


def _label_ends(axes: Axes, curves: Sequence[Curve], gap: float) -> None:
    """Labels the ends of curves beside the panel, moved apart where they would overlap."""
    ends = []
    # Each of several runs has one label: that of the last of these splits for which it has a curve.
    told = {c.run: c for split in COLOURS for c in curves if c.run and c.split == split}
    for curve in curves:
        known = curve.trend[:, np.isfinite(curve.trend[1])]
        if known.size and told.get(curve.run, curve) is curve:
            _, height = (axes.transData - axes.transAxes).transform(known[:, -1])
            ends.append((float(np.clip(np.nan_to_num(height), 0, 1)), curve))
    ends.sort(key=lambda end: end[0])
    heights = _apart([height for height, _ in ends], gap)
    for (height, curve), free in zip(ends, heights, strict=True):
        run = history.short(curve.run, 16)
        split = curve.split
        name = run if run and split == "test" else f"{run} {split}".strip()
        dark = _mix(_colour(curve), 0.8, 0)
        thin = {"linewidth": 0.6, "shrinkA": 1, "shrinkB": 0}
        axes.annotate(
            f"{name} {curve.final}",
            xy=(1, height),
            xytext=(1.03, free),
            xycoords="axes fraction",
            textcoords="axes fraction",
            va="center",
            fontsize=7,  # the gap is for 10
            fontweight="normal" if curve.train else "bold",
            color=dark,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": dark, "relpos": (0, 0.5), **thin},
        )


def _apart(heights: Sequence[float], gap: float) -> list[float]:
    """Moves ascending heights as little as possible to be a gap apart, all within 0 to 1."""
    groups: list[list[float]] = []  # neighbours that touch, each less the room of the lower ones
    for i, height in enumerate(heights):
        groups.append([height - i * gap])
        while len(groups) > 1 and np.mean(groups[-2]) > np.mean(groups[-1]):
            groups[-2:] = [groups[-2] + groups[-1]]
    places = [np.mean(group) for group in groups for _ in group]
    free = max(0.0, 1 - (len(places) - 1) * gap)
    return [float(np.clip(place, 0, free)) + i * gap for i, place in enumerate(places)]


def draw(workdir: Path) -> Path:
    """Writes `curves.png` and `curves.svg` beside a run's metrics; returns the latter.

    Raises:
        ValueError: if there are no metrics, naming the file.
    """
    picture = figure([workdir])
    for name in files.CURVES:
        path = _save(picture, workdir / name)
    return path


def _save(picture: Figure, path: Path) -> Path:
    dates = {"Date": None} if path.suffix == ".svg" else None
    with style.context(STYLE), files.replaced(path) as partial:
        picture.savefig(partial, format=path.suffix[1:], dpi=200, metadata=dates)
    return path


def define_flags() -> None:
    flags.DEFINE_multi_string(
        "workdir", None, "Directory of a run. Repeat the flag to compare runs.", required=True
    )
    flags.DEFINE_string(
        "out", None, "FILE.svg or FILE.png. Default: both, in the directory of a single run."
    )


def main() -> None:
    workdirs = [Path(workdir).expanduser() for workdir in FLAGS.workdir]
    out = Path(FLAGS.out or "").expanduser()
    if FLAGS.out is None and len(workdirs) == 1:
        print(draw(workdirs[0]))
    elif out.suffix in {".svg", ".png"}:
        print(_save(figure(workdirs), out))
    else:
        raise ValueError(f"--out must be FILE.svg or FILE.png, got {FLAGS.out!r}")


if __name__ == "__main__":
    from keras_resnet import console  # to others it would import Keras

    define_flags()
    console.run(main)
