"""Pictures of what the functions of this room return; they need matplotlib.

Each function writes a file whose suffix is its format, such as `.png` or `.svg`. Colours are those
of Okabe and Ito, which most people can tell apart; dashes help in greyscale.
"""

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from keras import ops

from keras_resnet.analysis.gradients import GradientNorms
from keras_resnet.analysis.layer_table import LayerTable
from keras_resnet.analysis.lesions import Lesions

__all__ = [
    "plot_feature_maps",
    "plot_grad_cam",
    "plot_gradient_norms",
    "plot_layers",
    "plot_lesion",
    "plot_responses",
]

Path = str | os.PathLike[str]
BLACK, BLUE, ORANGE, GREEN, PINK = "#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7"
LOOKS = (
    (BLUE, "-"),
    (ORANGE, "-"),
    (BLUE, "--"),
    (ORANGE, "--"),
    (GREEN, "-"),
    (PINK, "--"),
    (BLACK, ":"),
)
MOST_MAPS = 64  # in one picture
COLUMNS = 8  # of maps
MOST_NAMES = 30  # along an axis, before they would overlap
EVIDENCE = "inferno"
STYLE: list[Any] = [
    "default",  # not what a matplotlibrc says
    {
        "axes.axisbelow": True,
        "axes.grid": True,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "font.size": 8,
        "grid.color": "#e4e4e4",
        "grid.linewidth": 0.6,
        "text.parse_math": False,  # names may contain dollar signs
    },
]


@contextmanager
def _picture(path: Path, width: float, height: float) -> Iterator[Any]:
    """Yields a matplotlib figure, in inches, and writes it to a file."""
    from matplotlib import style  # deferred: only pictures need it
    from matplotlib.figure import Figure

    with style.context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        figure.savefig(path, dpi=200)


def plot_layers(table: LayerTable, path: Path) -> None:
    """Draws cost, memory and receptive field of the layers with kernels, by depth.

    Args:
        table: what `layers` returns.
        path: the file to write.
    """
    rows = [row for row in table.rows if row.multiply_adds]
    places = np.arange(1, len(rows) + 1)
    bars = {
        "multiply-adds\n(millions)": [row.multiply_adds / 1e6 for row in rows],
        "parameters\n(thousands)": [row.parameters / 1e3 for row in rows],
        "output\n(KiB per image)": [row.output_bytes / 1024 for row in rows],
    }
    with _picture(path, 6.4, 5.2) as figure:
        axes = figure.subplots(4, 1, sharex=True)
        for one, (label, heights) in zip(axes, bars.items(), strict=False):
            one.bar(places, heights, color=BLUE, width=0.8)
            one.set_ylabel(label)
            one.grid(visible=False, axis="x")
        seen = [(i, row.field[0].size) for i, row in zip(places, rows, strict=True) if row.field]
        axes[-1].plot(*zip(*seen, strict=True), "o", color=BLUE, markersize=3)
        image = table.rows[0].output_shape[0]
        axes[-1].axhline(image, color=ORANGE, linewidth=1)
        axes[-1].text(0.5, image, "height of the image", va="bottom", color=ORANGE)
        axes[-1].set_xlim(0, len(rows) + 1)
        axes[-1].set_ylabel("receptive field\n(pixels)")
        axes[-1].set_xlabel("convolutions, also those of shortcuts, and classifier, in order")
        figure.align_ylabels()


def plot_responses(networks: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """Draws Figure 7 of arXiv:1512.03385: layers in their order, and sorted by magnitude.

    Args:
        networks: what `responses` returns, by the label of each network.
        path: the file to write.

    Raises:
        ValueError: for more networks than can be told apart.
    """
    orders = {
        "layer, in order": lambda values: values,
        "layer, sorted by magnitude": lambda values: sorted(values, reverse=True),
    }
    with _picture(path, 6.4, 5.2) as figure:
        for axes, (label, order) in zip(figure.subplots(2, 1), orders.items(), strict=True):
            for (name, measured), look in zip(networks.items(), _looks(networks), strict=True):
                values = order(list(measured.values()))
                axes.plot(range(1, len(values) + 1), values, label=name, **look)
            axes.set_xlabel(label)
            axes.set_ylabel("standard deviation")
            axes.set_ylim(bottom=0)
        figure.axes[0].legend(frameon=False)


def plot_gradient_norms(networks: Mapping[str, GradientNorms], path: Path) -> None:
    """Draws norms of gradients by depth, at kernels and at block outputs.

    Args:
        networks: what `gradient_norms` returns, by the label of each network.
        path: the file to write.

    Raises:
        ValueError: for more networks than can be told apart.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    with _picture(path, 6.4, 5.2) as figure:
        above, below = figure.subplots(2, 1)
        for (name, norms), look in zip(networks.items(), _looks(networks), strict=True):
            for axes, found in ((above, norms.kernels), (below, norms.blocks)):
                axes.plot(range(1, len(found) + 1), list(found.values()), label=name, **look)
        above.set_xlabel("convolution of stem and branches, in order")
        above.set_ylabel("norm of the gradient\nof its kernel")
        below.set_xlabel("block, in order")
        below.set_ylabel("norm of the gradient\nat its output")
        for axes in (above, below):
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda norm, _: f"{norm:g}"))
            axes.yaxis.set_minor_locator(NullLocator())
        above.legend(frameon=False)


def _looks(networks: Mapping[str, Any]) -> list[dict[str, Any]]:
    if not 1 <= len(networks) <= len(LOOKS):
        raise ValueError(f"1 to {len(LOOKS)} networks can be told apart, got {len(networks)}")
    looks = LOOKS[: len(networks)]
    return [{"color": c, "linestyle": s, "linewidth": 1.2} for c, s in looks]


def plot_lesion(lesions: Lesions, path: Path) -> None:
    """Draws the accuracy without each block's branch.

    Args:
        lesions: what `lesion` returns.
        path: the file to write.
    """
    blocks = list(lesions.without)
    places = np.arange(1, len(blocks) + 1)
    changing = np.array([name in lesions.changing for name in blocks])
    accuracy = np.array(list(lesions.without.values()))
    kinds = {
        "identity shortcut": (~changing, BLUE),
        "other shortcut": (changing, ORANGE),
    }
    with _picture(path, max(4.8, min(9.6, 1 + 0.22 * len(blocks))), 3.2) as figure:
        axes = figure.subplots()
        for label, (chosen, colour) in kinds.items():
            if chosen.any():
                axes.bar(places[chosen], accuracy[chosen], color=colour, width=0.7, label=label)
        axes.axhline(lesions.accuracy, color=BLACK, linewidth=1, label="whole network")
        axes.grid(visible=False, axis="x")
        axes.set_ylim(0, 100)
        axes.set_ylabel("accuracy (%)")
        if len(blocks) <= MOST_NAMES:
            axes.set_xticks(places, [_short(name) for name in blocks], rotation=90)
            axes.set_xlabel("block without its branch (stage.number)")
        else:
            axes.set_xlabel("block without its branch, in order")
        figure.legend(loc="outside upper center", ncols=3, frameon=False)


def _short(block: str) -> str:
    """Returns "2.1" for stage2_block1."""
    return block.replace("stage", "").replace("_block", ".")


def plot_feature_maps(maps: np.ndarray[Any, Any], path: Path) -> None:
    """Draws the feature maps of one image, side by side, each scaled to its own range.

    Of more than 64 filters those are drawn whose maps vary most.

    Args:
        maps: [h, w, filters], an image of what `feature_maps` returns.
        path: the file to write.

    Raises:
        ValueError: for an array of another rank.
    """
    if maps.ndim != 3:
        raise ValueError(f"maps of one image must be [h, w, filters], got {list(maps.shape)}")
    count = maps.shape[-1]
    strongest = np.argsort(-maps.std((0, 1)), kind="stable")[:MOST_MAPS]
    filters = np.sort(strongest)
    columns = min(COLUMNS, len(filters))
    lines = math.ceil(len(filters) / columns)
    with _picture(path, 0.8 * columns, 0.95 * lines * maps.shape[0] / maps.shape[1]) as figure:
        grid = figure.subplots(lines, columns, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for axes, number in zip(grid.flat, filters, strict=False):
            axes.imshow(maps[..., number], cmap="viridis", interpolation="nearest")
            axes.set_title(f"{number}", fontsize=6, pad=1.5)
        kept = (
            f"the {len(filters)} of {count} filters that vary most"
            if count > len(filters)
            else f"{count} filters"
        )
        figure.suptitle(f"{kept}, {maps.shape[0]}x{maps.shape[1]}", fontsize=8)


def plot_grad_cam(images: np.ndarray[Any, Any], maps: Any, path: Path) -> None:
    """Draws images, and beside each the same with the evidence for a class on it.

    Args:
        images: pixels 0..255, [batch, height, width, 1 or 3], before preprocessing.
        maps: [batch, h, w] between 0 and 1, what `grad_cam` returns.
        path: the file to write.

    Raises:
        ValueError: for another number of maps than of images, or images of another rank.
    """
    evidence = ops.convert_to_numpy(maps)
    if images.ndim != 4 or evidence.ndim != 3 or len(images) != len(evidence):
        raise ValueError(
            "plot_grad_cam needs images [batch, height, width, channels] and maps [batch, h, w],"
            f" got {list(images.shape)} and {list(evidence.shape)}"
        )
    from matplotlib.cm import ScalarMappable

    height, width = images.shape[1:3]
    place = {"vmin": 0, "extent": (0, width, height, 0)}
    with _picture(path, 4.6, 2.0 * len(images) * height / width) as figure:
        grid = figure.subplots(len(images), 2, squeeze=False)
        for line, pixels, strength in zip(grid, images, evidence, strict=True):
            for axes in line:
                axes.set_axis_off()
                shown = pixels.clip(0, 255).astype("uint8").squeeze()
                axes.imshow(shown, cmap="gray", vmax=255, **place)
            # Where there is no evidence, the image remains as it is.
            line[1].imshow(
                strength,
                cmap=EVIDENCE,
                vmax=1,
                alpha=0.8 * strength,
                interpolation="bilinear",
                **place,
            )
        scale = ScalarMappable(cmap=EVIDENCE)
        scale.set_clim(0, 1)
        figure.colorbar(scale, ax=grid[:, 1], label="evidence (largest: 1)", fraction=0.05)
