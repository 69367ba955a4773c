"""Weights of others: what is measured, kept and told, against what their authors publish."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from tests.support import helpers
from train.lab import figures, measuring, others

RESULTS = json.loads((helpers.ROOT / "results" / others.FILE).read_text(encoding="utf-8"))
ROWS = {(row["source"], row["network"]): row for row in RESULTS["rows"]}
IMAGES = 10_000


def test_every_network_is_measured_as_its_author_published():
    assert set(ROWS) == {(one.source, one.name) for one in others.NETWORKS}
    for row in ROWS.values():
        # An image whose two best classes are level can go either way on another processor.
        assert row["test"] == pytest.approx(row["published"], abs=0.0201)


def test_the_paper_s_order_in_weights_of_others():
    own = {name: row for (source, name), row in ROWS.items() if source == "a_martyn"}
    for split in ("test", "train"):
        assert own["plain-56"][split] > own["plain-20"][split]
        assert own["ResNet-56"][split] < own["ResNet-20"][split]
    means = {
        name: sum(row["responses"].values()) / len(row["responses"]) for name, row in own.items()
    }
    assert means["ResNet-56"] < means["ResNet-20"] < means["plain-20"]
    assert means["ResNet-56"] < means["plain-56"]


def test_the_readme_has_the_same_numbers():
    text = (helpers.ROOT / "README.md").read_text(encoding="utf-8")
    table = re.search(r"\| source \| network \| top-1 .*\n\|---.*\n((?:\|.*\n)+)", text)
    assert table
    told = re.findall(r"(\d\d\.\d\d)(?=[^|]*\|[^|]*\|$)", table[1], re.MULTILINE)
    assert sorted(told) == sorted(f"{100 - row['test']:.2f}" for row in ROWS.values())


@pytest.fixture
def faked(tmp_path, monkeypatch) -> tuple[SimpleNamespace, list[str]]:
    """Flags of the command, and what it measures; every network is right on 90 % of the images."""
    measured: list[str] = []

    def evaluate(name: str, command: list[str], told: str, path: Path) -> list[str]:
        measured.append(" ".join(command))
        path.write_text(json.dumps({"top1": 90.0, "command": told}))
        return []

    monkeypatch.setattr(measuring, "evaluate", evaluate)
    monkeypatch.setattr(others, "_responses", lambda *_: {"first": 1.0, "second": 0.5})
    given = {"weights_dir": "weights", "workdir": "kept", "out": "out", "data_dir": "data"}
    flags = SimpleNamespace(**{name: str(tmp_path / value) for name, value in given.items()})
    monkeypatch.setattr(others, "FLAGS", flags)
    for one in others.NETWORKS:
        file = tmp_path / "weights" / one.file
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return flags, measured


def test_the_command_measures_once_and_tells(faked, tmp_path, capsys):
    _, measured = faked
    others.main()
    assert len(measured) == 2 * len(others.NETWORKS)
    file = f"{tmp_path}/weights/a-martyn/plainnet20.pt"
    assert f"--weights={file} --field=shortcut=null" in measured[0]
    assert measured[1].endswith("--split=train")
    told = capsys.readouterr().out
    assert "| a_martyn | plain-20 | 9.69 | 10.00 | 10.00 | 0.750 | `python -m train." in told
    written = (tmp_path / "out" / "others.json").read_text()
    assert str(tmp_path) not in written
    assert json.loads(written)["rows"][0]["command"].startswith(
        "python -m train.evaluate --weights=…/a-martyn/plainnet20.pt --field=shortcut=null"
    )
    measured.clear()
    others.main()
    assert measured == []


def test_a_missing_file_is_named_before_anything_is_measured(faked, tmp_path):
    _, measured = faked
    (tmp_path / "weights" / "akamaster" / "resnet56-4bfd9763.th").unlink()
    with pytest.raises(ValueError, match=r"weights has no akamaster/resnet56-4bfd9763\.th$"):
        others.main()
    assert measured == []


def test_what_cannot_be_measured_is_told_and_nothing_is_written(
    faked, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(measuring, "evaluate", lambda name, *_: [f"{name}: not measured: why"])
    with pytest.raises(SystemExit) as end:
        others.main()
    assert end.value.code == 1
    assert "a_martyn_plain-20 on test: not measured: why" in capsys.readouterr().err
    assert not (tmp_path / "out" / "others.json").exists()


def test_the_figure_shows_the_source_that_has_both_kinds(tmp_path):
    figures.draw_others(RESULTS["rows"], tmp_path / "others.png")
    with Image.open(tmp_path / "others.png") as picture:
        assert picture.width > 2 * picture.height
