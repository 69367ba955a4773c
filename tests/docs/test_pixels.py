"""The code of docs/pixels.md runs, and its table is that of the modes."""

import re

import numpy as np

from keras_resnet import preprocessing
from tests.support.helpers import ROOT

PAGE = (ROOT / "docs" / "pixels.md").read_text(encoding="utf-8")
BLOCKS = re.findall("```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_code_runs(capsys):
    names = {}
    for block in BLOCKS[1:]:  # the first one needs weights from the hub
        exec(block, names)
    assert capsys.readouterr().out.splitlines() == ["(2, 224, 224, 3) 3", "(1, 1000)"]


def test_the_numbers_are_those_of_the_modes():
    rows = dict(re.findall(r'^\| `"(\w+)"` \| (.*?) \|', PAGE, re.MULTILINE))
    assert rows.keys() == preprocessing.MODES.keys()
    for name in ("caffe", "torch"):
        mode = preprocessing.MODES[name]
        divisors = mode.std if name == "torch" else ()
        numbers = [float(number) for number in re.findall(r"\d+\.\d+", rows[name])]
        np.testing.assert_allclose(numbers, [*mode.mean, *divisors])
        assert ("BGR" in rows[name]) == mode.bgr


def test_the_fields_are_those_of_a_preprocessing():
    table = PAGE.partition("| field |")[2].partition("\n\n")[0]
    named = re.findall(r"`(\w+)`", "".join(row.split("|")[1] for row in table.splitlines()[2:]))
    assert set(named) == set(preprocessing.Preprocessing.__match_args__)
