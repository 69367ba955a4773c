"""The tables of README and docs are those of the results."""

import json

from benchmarks import measure, report


def test_pages_show_the_results():
    """Otherwise: python -m benchmarks.report."""
    assert report.main("--check") == 0


def test_every_result_is_on_a_page():
    places = {
        name for page in report.pages() for _, name, _ in report.PLACE.findall(page.read_text())
    }
    assert places == {file.stem for file in measure.RESULTS.glob("*.json")}


def test_a_table_has_medians_their_range_and_ratios(tmp_path):
    rates = {"ours": [30.0, 10.0, 20.0], "theirs": [8.0, 16.0, 12.0]}
    table = measure.Table(
        "one", "make one", "images", "theirs", rates, ("A note.",), {"cores": "1"}
    )
    table.write(tmp_path)
    assert measure.read(tmp_path / "one.json") == table
    lines = table.markdown().splitlines()
    assert lines[0] == "`make one`: medians of 3 rounds (lowest to highest); cores 1."
    assert lines[4] == "| ours | 20.0 (10.0 to 30.0) | 1.67 |"
    assert lines[5] == "| theirs | 12.0 (8.00 to 16.0) | 1.00 |"
    assert json.loads((tmp_path / "one.json").read_text())["rates"] == rates
