"""The code of docs/analysis.md runs, in the order of the page."""

import re

import pytest

from keras_resnet import analysis
from tests.support.cifar10_images import read
from tests.support.helpers import ROOT

PAGE = (ROOT / "docs" / "analysis.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_page_runs(data_dir, tmp_path, monkeypatch, capsys) -> None:
    for file in (data_dir / "weights" / "a-martyn").glob("*.pt"):
        (tmp_path / file.name).symlink_to(file)
    monkeypatch.chdir(tmp_path)
    images, labels = (part[:8] for part in read(data_dir, "test"))
    names = {"images": images, "labels": labels}
    blocks = re.findall("```python\n(.*?)```", PAGE, re.DOTALL)
    for block in blocks:
        exec(block, names)
    drawn = {path.name for path in tmp_path.iterdir() if not path.is_symlink()}
    assert drawn == set(re.findall(r'"(\w+\.(?:png|svg))"', PAGE))
    table, _, norm, lesion = capsys.readouterr().out.rpartition("sum ")[2].splitlines()
    assert "25,557,032" in table
    assert float(norm) > 0
    assert lesion.endswith("('stage2_block1', 'stage3_block1')")


def test_the_page_names_all_functions() -> None:
    functions = {name for name in analysis.__all__ if callable(getattr(analysis, name, None))}
    functions = {name for name in functions if name.islower()}
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == functions
