"""Pictures show the numbers that they are given."""

import matplotlib.figure
import numpy as np
import pytest
from PIL import Image

import keras_resnet
from keras_resnet.analysis import GradientNorms, Lesions, layers, plots

RESPONSES = {"ResNet-20": {"a": 0.5, "b": 0.9, "c": 0.1}, "plain-20": {"a": 1.5, "b": 0.4}}
NORMS = {"ResNet-20": GradientNorms(2.3, {"a": 0.5, "b": 0.01}, {"a": 0.2})}


@pytest.fixture
def figures(monkeypatch) -> list:
    """The figures that are saved, after they have been."""
    found = []
    save = matplotlib.figure.Figure.savefig

    def saved(figure, path, **options) -> None:
        save(figure, path, **options)
        found.append(figure)

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", saved)
    return found


def points(axes) -> list[list[float]]:
    return [list(line.get_ydata()) for line in axes.lines]


def heights(axes) -> list[float]:
    return [bar.get_height() for bar in axes.patches]


def test_responses_are_drawn_in_order_and_sorted(figures, tmp_path) -> None:
    plots.plot_responses(RESPONSES, tmp_path / "a.png")
    above, below = figures[0].axes
    assert points(above) == [[0.5, 0.9, 0.1], [1.5, 0.4]]
    assert points(below) == [[0.9, 0.5, 0.1], [1.5, 0.4]]
    assert [text.get_text() for text in above.get_legend().get_texts()] == list(RESPONSES)
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (1280, 1040)


def test_networks_that_cannot_be_told_apart_are_refused(tmp_path) -> None:
    many = {str(i): {"a": 1.0} for i in range(8)}
    with pytest.raises(ValueError, match="1 to 7 networks can be told apart, got 8"):
        plots.plot_responses(many, tmp_path / "a.png")
    with pytest.raises(ValueError, match="1 to 7 networks can be told apart, got 0"):
        plots.plot_gradient_norms({}, tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []
    looks = plots._looks(dict(list(many.items())[1:]))
    assert len({(look["color"], look["linestyle"]) for look in looks}) == 7


def test_gradient_norms_are_drawn(figures, tmp_path) -> None:
    plots.plot_gradient_norms(NORMS, tmp_path / "a.svg")
    assert [points(axes) for axes in figures[0].axes] == [[[0.5, 0.01]], [[0.2]]]
    assert (tmp_path / "a.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_layers_are_drawn(figures, tmp_path) -> None:
    table = layers(keras_resnet.resnet("resnet20", repeats=[1, 1]))
    plots.plot_layers(table, tmp_path / "a.png")
    rows = [row for row in table.rows if row.multiply_adds]
    adds, parameters, outputs, fields = figures[0].axes
    assert heights(adds) == [row.multiply_adds / 1e6 for row in rows]
    assert heights(parameters) == [row.parameters / 1e3 for row in rows]
    assert heights(outputs) == [row.output_bytes / 1024 for row in rows]
    seen, image = points(fields)
    assert seen == [row.field[0].size for row in rows[:-1]]
    assert image == [32, 32]


def test_lesions_are_drawn(figures, tmp_path) -> None:
    without = {"stage1_block1": 70.0, "stage2_block1": 20.0, "stage2_block2": 80.0}
    plots.plot_lesion(Lesions(90.0, without, ("stage2_block1",)), tmp_path / "a.png")
    (axes,) = figures[0].axes
    colours = {bar.get_height(): bar.get_facecolor() for bar in axes.patches}
    assert colours[70.0] == colours[80.0] != colours[20.0]
    assert points(axes) == [[90.0, 90.0]]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1.1", "2.1", "2.2"]
    (legend,) = figures[0].legends
    box = legend.get_window_extent()  # all of it is inside of the picture
    assert box.x0 >= 0
    assert box.x1 <= figures[0].bbox.x1


def test_many_lesions_have_no_names(figures, tmp_path) -> None:
    without = {f"stage1_block{i}": 50.0 for i in range(1, 55)}
    plots.plot_lesion(Lesions(90.0, without, ()), tmp_path / "a.png")
    (axes,) = figures[0].axes
    assert len(heights(axes)) == 54
    assert len(axes.get_xticklabels()) < 20


def test_feature_maps_are_a_grid_of_those_that_vary_most(figures, tmp_path) -> None:
    maps = np.random.default_rng(0).normal(size=(6, 4, 70)).astype("float32")
    flat = [3, 5, 8, 13, 21, 34]
    maps[..., flat] = 1
    plots.plot_feature_maps(maps, tmp_path / "a.png")
    drawn = [axes for axes in figures[0].axes if axes.images]
    assert [int(axes.get_title()) for axes in drawn] == [i for i in range(70) if i not in flat]
    np.testing.assert_array_equal(drawn[0].images[0].get_array(), maps[..., 0])
    plots.plot_feature_maps(maps[..., :10], tmp_path / "a.png")
    assert len([axes for axes in figures[1].axes if axes.images]) == 10
    with pytest.raises(ValueError, match=r"must be \[h, w, filters\], got \[1, 6, 4, 70\]"):
        plots.plot_feature_maps(maps[None], tmp_path / "a.png")


@pytest.mark.parametrize("channels", [1, 3])
def test_evidence_lies_where_it_belongs(channels: int, figures, tmp_path) -> None:
    images = np.full((2, 32, 48, channels), 128, np.uint8)
    maps = np.zeros((2, 4, 6), "float32")
    maps[:, 0, 5] = 1  # upper right
    plots.plot_grad_cam(images, maps, tmp_path / "a.png")
    plain, overlaid = (axes.get_window_extent() for axes in figures[0].axes[:2])
    with Image.open(tmp_path / "a.png") as image:
        size = image.size
        pixels = np.asarray(image.convert("RGB"))
    scale = size[0] / figures[0].bbox.width

    def pixel(box, x: float, y: float) -> list[int]:
        """The pixel at a share of width and height, from the upper left."""
        left, top = box.x0 + x * box.width, box.y1 - y * box.height
        return pixels[round(size[1] - top * scale), round(left * scale)].tolist()

    assert pixel(plain, 0.92, 0.12) == [128] * 3
    assert pixel(overlaid, 0.1, 0.9) == [128] * 3  # without evidence the image is as it was
    assert max(np.abs(np.array(pixel(overlaid, 0.92, 0.12)) - 128)) > 60


def test_other_shapes_of_evidence_are_refused(tmp_path) -> None:
    for images, maps in (((2, 8, 8, 3), (1, 2, 2)), ((8, 8, 3), (8, 2, 2)), ((1, 8, 8, 3), (2, 2))):
        with pytest.raises(ValueError, match="plot_grad_cam needs images"):
            plots.plot_grad_cam(np.zeros(images), np.zeros(maps), tmp_path / "a.png")
