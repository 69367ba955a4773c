"""The figures of experiments, in the style of the paper's.

Training errors are thin, test errors bold (Figures 1, 4 and 6); responses of layers are drawn in
their order and sorted (Figure 7).
"""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from train.lab import runs
from train.lab.experiment import RESPONSE, TEST, Panel
from train.lab.planned import Planned
from train.lab.results import Outcome
from train.log.history import Curve
from train.run import files

# Okabe and Ito's colours, which most people can tell apart; in greyscale, markers help.
COLOURS = ("#E69F00", "#0072B2", "#009E73", "#D55E00", "#CC79A7")
MARKERS = "osD^v"
MARKED = 30  # responses of more layers have no markers
RING: dict[str, Any] = {"marker": "o", "fillstyle": "none", "clip_on": False, "zorder": 5}
STYLE: list[Any] = [
    "default",
    {
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "font.size": 8,
        "grid.color": "#e4e4e4",
        "grid.linewidth": 0.6,
        "text.parse_math": False,
    },
]


def draw(found: Outcome, path: Path) -> None:
    """Draws an experiment as a PNG, as far as its runs are.

    Of several seeds, the first one that is finished is drawn, or the first one that has begun.

    Raises:
        OSError: if there is no room.
    """
    with style.context(STYLE):
        picture = responses(found) if RESPONSE in found.experiment.measures else curves(found)
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.replaced(path) as partial:
            picture.savefig(partial, format="png", dpi=160)


def _figure(panels: int, *, sharey: bool = True) -> tuple[Figure, Sequence[Axes]]:
    picture = Figure(layout="constrained", figsize=(0.8 + 2.8 * panels, 2.9))
    FigureCanvasAgg(picture)
    return picture, picture.subplots(1, panels, sharey=sharey, squeeze=False)[0]


def _title(picture: Figure, found: Outcome) -> None:
    unfinished = sum(not state.finished for state in found.states)
    told = f"; {unfinished} of {len(found.states)} runs unfinished" if unfinished else ""
    dataset = found.planned[0].recipe.dataset
    lines = [f"{found.experiment.name} on {dataset}{told}", found.schedule.text]
    # A single panel is narrow.
    picture.suptitle("\n".join(textwrap.fill(line, 70) for line in lines), fontsize=7)


def _begun(found: Outcome, name: str) -> Planned | None:
    """Returns the first finished run of a name or, without one, the first that has metrics."""
    own = [one for one in [*found.finished, *found.planned] if one.run.name == name]
    return next((one for one in own if runs.errors(one.workdir)), None)


def curves(found: Outcome) -> Figure:
    """Draws training errors thin and test errors bold, a panel for each group of networks.

    Open circles are the errors that the paper prints, where runs follow its schedule.
    """
    panels = found.experiment.panels
    picture, places = _figure(len(panels))
    ends = [_panel(axes, panel, found) for axes, panel in zip(places, panels, strict=True)]
    places[0].set_ylabel("error (%)")
    last = max((end for end, _ in ends), default=0)
    late = [value for _, values in ends for value in values]
    top = 1.3 * max(late, default=77)  # the first errors are far above what is compared
    for axes in places:
        axes.set_ylim(0, min(100.0, max(top, 1.0)))
        _steps(axes, last)
    _title(picture, found)
    return picture


def _panel(axes: Axes, panel: Panel, found: Outcome) -> tuple[int, list[float]]:
    """Draws the runs of a panel; returns its last step, and errors of the last two thirds."""
    axes.set_title(panel.title, fontsize=8.5)
    lines = []
    late: list[float] = []
    last = 0
    rings = False
    for name, colour in zip(panel.runs, COLOURS, strict=False):
        planned = _begun(found, name)
        last = max(last, next(p.recipe.steps for p in found.planned if p.run.name == name))
        if planned is None:
            continue
        drawn = runs.errors(planned.workdir)
        for split, curve in drawn.items():
            axes.plot(*curve.trend, color=colour, **_look(split))
            late += _late(curve, planned.recipe.steps)
        published = found.paper(name, TEST)
        if published and found.schedule.full:
            axes.plot(planned.recipe.steps, published.value, color=colour, **RING)
            rings = True
        lines.append(Line2D([], [], color=colour, linewidth=2, label=name))
    lines += [
        Line2D([], [], color="#555555", label="test", **_look("test")),
        Line2D([], [], color="#555555", label="training", **_look("train")),
    ]
    if rings:
        lines.append(Line2D([], [], color="#555555", label="test, the paper", linestyle="", **RING))
    axes.legend(handles=lines, fontsize=6.5, loc="upper right", framealpha=0.9)
    return last, late


def _look(split: str) -> dict[str, Any]:
    if split == "train":
        return {"linewidth": 0.7, "linestyle": (0, (4, 1.2)), "zorder": 2.5}
    return {"linewidth": 1.7, "zorder": 3}


def _late(curve: Curve, steps: int) -> list[float]:
    reached = curve.trend[0] >= min(steps / 3, curve.trend[0, -1])
    return [float(value) for value in curve.trend[1, reached] if np.isfinite(value)]


def _steps(axes: Axes, last: int) -> None:
    power = 4 if last >= 20_000 else 0
    axes.set_xlim(0, last or 1)
    axes.xaxis.set_major_locator(MaxNLocator(5))  # labels such as 4,000 need room
    axes.set_xlabel(f"steps (1e{power})" if power else "steps")
    axes.xaxis.set_major_formatter(lambda step, _: f"{step / 10**power:,g}")


def responses(found: Outcome) -> Figure:
    """Draws the deviation of each layer's response: in order above, sorted below, as Figure 7."""
    panels = found.experiment.panels
    picture = Figure(layout="constrained", figsize=(0.8 + 2.8 * len(panels), 4.4))
    FigureCanvasAgg(picture)
    grid = picture.subplots(2, len(panels), sharey=True, squeeze=False)
    for column, panel in zip(grid.T, panels, strict=True):
        column[0].set_title(panel.title, fontsize=8.5)
        measured = {name: _responses(found, name) for name in panel.runs}
        for axes, ordered in zip(column, (True, False), strict=True):
            _respond(axes, measured, found.experiment.names, ordered=ordered)
        if any(measured.values()):
            column[0].legend(fontsize=6.5)
    for axes in grid[:, 0]:
        axes.set_ylabel("standard deviation")
    _title(picture, found)
    return picture


def _responses(found: Outcome, name: str) -> list[float]:
    own = [one for one in found.planned if one.run.name == name]
    measured = (runs.responses(one.workdir) for one in own)
    return list(next((values for values in measured if values), {}).values())


def draw_others(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draws errors by depth, and responses by layer, of plain and residual networks of others.

    Args:
        rows: as `results/others.json` has them. Networks of a source that has both kinds are drawn.
        path: the PNG to write.

    Raises:
        OSError: if there is no room.
    """
    plain = {row["source"] for row in rows if row["network"].startswith("plain")}
    own = [row for row in rows if row["source"] in plain]
    with style.context(STYLE):
        picture, (errors, ordered, ranked) = _figure(3, sharey=False)
        _errors_by_depth(errors, own)
        measured = {row["network"]: list(row["responses"].values()) for row in own}
        names = sorted(measured)
        for axes, in_order in ((ordered, True), (ranked, False)):
            _respond(axes, measured, names, ordered=in_order)
            axes.set_ylabel("standard deviation of responses")
        ordered.legend(fontsize=6.5)
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.replaced(path) as partial:
            picture.savefig(partial, format="png", dpi=160)


def _errors_by_depth(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    kinds = sorted({row["network"].split("-")[0] for row in rows})
    for kind, colour in zip(kinds, COLOURS[1:], strict=False):
        own = [row for row in rows if row["network"].split("-")[0] == kind]
        depths = [int(row["network"].split("-")[1]) for row in own]
        for split in ("test", "train"):
            values = [row[split] for row in own]
            label = f"{kind}, {'training' if split == 'train' else split}"
            axes.plot(
                depths, values, color=colour, label=label, marker="o", markersize=4, **_look(split)
            )
    axes.set_xticks(sorted({int(row["network"].split("-")[1]) for row in rows}))
    axes.set_xlabel("layers")
    axes.set_ylabel("error (%)")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=6.5, loc="center", bbox_to_anchor=(0.5, 0.37))


def _respond(
    axes: Axes, measured: Mapping[str, Sequence[float]], names: Sequence[str], *, ordered: bool
) -> None:
    """Draws the deviations of each network, whose colour is the same in all panels."""
    for name, values in measured.items():
        if not values:
            continue
        place = names.index(name)
        shown = values if ordered else sorted(values, reverse=True)
        axes.plot(
            range(1, len(shown) + 1),
            shown,
            color=COLOURS[place],
            label=name,
            linewidth=1,
            marker=MARKERS[place] if len(values) <= MARKED else "",
            markersize=3,
        )
    axes.set_xlabel("layer, in order" if ordered else "layer, sorted by magnitude")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(bottom=0)
