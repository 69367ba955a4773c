"""What is said of an image: probabilities, bars, and names of pictures."""

import io

import numpy as np
import pytest

from keras_resnet.command import answers, inputs
from keras_resnet.command.answers import Answer, probabilities, text_lines
from keras_resnet.command.evidence import Evidence
from keras_resnet.preprocessing import Preprocessing
from tests.support import helpers

HALVES = Answer("a.jpg", [3, 1, 0], ["cat", "dog", "eel"], [0.5, 0.25, 0.03], "probabilities")


def test_probabilities_are_exact_where_exp_is_not():
    logits = np.float32([[0, 1000], [-1000, 3]])
    np.testing.assert_array_equal(probabilities(logits, "none"), logits)
    sigmoid = probabilities(logits, "sigmoid")
    np.testing.assert_allclose(sigmoid, [[0.5, 1], [0, 0.95257413]], atol=1e-8)
    np.testing.assert_allclose(probabilities(logits, "softmax"), [[0, 1], [0, 1]])


def test_bars_are_as_long_as_probabilities():
    assert text_lines(HALVES, 10) == [
        "a.jpg",
        " 50.00 %  █████       cat",
        " 25.00 %  ██▌         dog",
        "  3.00 %  ▎           eel",
        "",
    ]


def test_without_a_terminal_there_are_no_bars():
    assert text_lines(HALVES)[1] == " 50.00 %  cat"
    stream = io.TextIOWrapper(io.BytesIO(), "ascii", write_through=True)
    answers.WRITERS["text"](stream)(HALVES)
    assert stream.buffer.getvalue().decode() == "\n".join(text_lines(HALVES)) + "\n"


def test_one_class_is_one_line():
    one = Answer("a.jpg", [3], ["cat"], [0.5], "probabilities")
    assert text_lines(one, 10) == [" 50.00 %  cat  a.jpg"]


def test_logits_have_no_percent():
    two = Answer("a.jpg", [3, 1], ["cat", "dog"], [12.5, -3.0], "logits")
    assert text_lines(two, 10)[1:3] == ["   12.50  cat", "   -3.00  dog"]


def test_pictures_of_equal_names_get_numbers(tmp_path):
    found = Evidence.__new__(Evidence)
    found.folder, found._taken = tmp_path, set()
    names = ["a/x.jpg", "b/x.png", "b/X.gif", "https://h/x y.jpg?z", "..", "test.npz[3]"]
    assert [found._place(name).name for name in names] == [
        "x.png",
        "x-2.png",
        "X-3.png",
        "x_y.png",
        "image.png",
        "test.png",
    ]


def test_standard_input_is_an_image(tmp_path, monkeypatch):
    (file,) = helpers.image_folder(tmp_path, 1, (8, 8)).rglob("*.png")
    data = io.TextIOWrapper(io.BytesIO(file.read_bytes()))
    monkeypatch.setattr("sys.stdin", data)
    (item,) = inputs.named(("-",))
    seen = item.read(Preprocessing(image_size=8, crop=1.0), 3)
    np.testing.assert_array_equal(seen, helpers.noise(1, 8, 8, 3)[0])
    with pytest.raises(ValueError, match="standard input cannot be decoded: it is empty"):
        item.read(Preprocessing(), 3)
