"""The parts of the page that shows what an export sees, and how its command fails."""

import os
import socket

import numpy as np
import pytest
import tensorflow as tf

from saved_models.serving.page import content as page, demo
from saved_models.serving.page.explanation import Network, reason


def test_probabilities_are_no_certainties():
    values = [0, 0.0004, 0.001, 0.12345, 0.9994, 0.99999, 1]
    expected = ["0.0 %", "< 0.1 %", "0.1 %", "12.3 %", "> 99.9 %", "> 99.9 %", "100.0 %"]
    assert [page.percent(value) for value in values] == expected


def test_the_strongest_place_has_a_name():
    places = [
        [page.place(np.eye(7)[[row]].T * np.eye(7)[column]) for column in (0, 3, 6)]
        for row in (0, 3, 6)
    ]
    assert places[0] == ["at the upper left", "at the top", "at the upper right"]
    assert places[1] == ["at the left", "in the middle", "at the right"]
    assert places[2] == ["at the lower left", "at the bottom", "at the lower right"]
    assert page.place(np.ones((1, 1))) == "in the middle"


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (7, 7), (8, 5)], ids=str)
def test_an_enlarged_map_keeps_its_cells(shape):
    cells = np.random.default_rng(0).uniform(size=shape).astype(np.float32)
    large = page.enlarged(cells)
    assert large.shape == (256, 256)
    at = [np.round((np.arange(n) + 0.5) * 256 / n - 0.5).astype(int) for n in shape]
    np.testing.assert_allclose(large[np.ix_(*at)], cells, atol=0.02)
    assert cells.min() - 1e-6 <= large.min() <= large.max() <= cells.max() + 1e-6


def test_wrong_arguments_end_with_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr("signal.signal", lambda *_: None)

    def says(*arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            demo.main(list(arguments))
        return str(ended.value)

    for name in ("saved_model.pb", "model.json"):
        assert says(str(tmp_path)) == f"error: {tmp_path} is not an export: it has no {name}"
        (tmp_path / name).touch()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert says(str(tmp_path), f"--port={port}") == (
            f"error: --port={port} cannot be used: Address already in use"
        )
    assert says(str(tmp_path), "--port=70000").startswith("error: ")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert says(str(tmp_path)) == "error: the page needs: pip install 'he-keras-resnet[demo]'"


def test_an_export_that_explains_nothing_is_refused(tmp_path):
    module = tf.Module()
    answer = tf.function(lambda images: {"logits": images}, [tf.TensorSpec([None], tf.float32)])
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": answer})
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(ValueError, match=r"no signature 'explain' but \['serving_default'\]"):
        Network(tmp_path)


def test_names_from_outside_are_no_html():
    about = {
        "network": "<i>",
        "labels": ["a"] * 1000,
        "image_shape": [224, 192, 3],
        "source": {"name": "<s>"},
    }
    assert page.facts(about) == (
        "<h1>What <code>&lt;i&gt;</code> sees</h1><ul><li>1,000 classes</li>"
        "<li>192 &times; 224 pixels</li><li>weights of &lt;s&gt;</li></ul>"
    )


def test_colours_are_those_of_viridis():
    """As matplotlib has them; opaque where the evidence is, and absent where it is not."""
    colours = page.colours(np.float32([0, 0.25, 0.5, 0.75, 1]))
    viridis = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]]
    np.testing.assert_allclose(colours[:, :3], viridis, atol=3)
    assert colours[[0, -1], 3].tolist() == [0, 255]
    assert (np.diff(colours[:, 3].astype(int)) > 0).all()


def test_errors_of_tensorflow_become_sentences():
    told = "assertion failed: [a JPEG has 120 scans; at most 100 are allowed]\n\t [[{{node x}}]]"
    assert reason(told) == "A JPEG has 120 scans; at most 100 are allowed."
    assert reason("Invalid PNG data, size 9").startswith("This image cannot be read")
