"""What experiments say of the papers, against the papers' tables as they were typed from them."""

import pytest

from train.lab.experiment import Comparison, Experiment, Measure, Panel, Run
from train.lab.experiments import EXPERIMENTS

TEST = Measure()
TEN, TEN_5 = Measure("top1", "ten_crop"), Measure("top5", "ten_crop")
MANY, MANY_5 = Measure("top1", "multi_scale"), Measure("top5", "multi_scale")
# Table 6 of arXiv:1512.03385.
TABLE_6 = {"20": 8.75, "32": 7.51, "44": 7.17, "56": 6.97, "110": 6.43, "1202": 7.93}
# Tables 2 and 3: ten crops, top-1 and top-5; None where the paper has no number.
TABLES_2_3 = {
    "plain-18": (27.94, None),
    "ResNet-18-A": (27.88, None),
    "plain-34": (28.54, 10.02),
    "ResNet-34-A": (25.03, 7.76),
    "ResNet-34-B": (24.52, 7.46),
    "ResNet-34-C": (24.19, 7.40),
    "ResNet-50": (22.85, 6.71),
    "ResNet-101": (21.75, 6.05),
    "ResNet-152": (21.43, 5.71),
}
# Table 4: several scales, top-1 and top-5.
TABLE_4 = {
    "ResNet-34-B": (21.84, 5.71),
    "ResNet-34-C": (21.53, 5.60),
    "ResNet-50": (20.74, 5.25),
    "ResNet-101": (19.87, 4.60),
    "ResNet-152": (19.38, 4.49),
}
# Table 2 of arXiv:1603.05027: original and full pre-activation.
IDENTITY = {
    "ResNet-110": 6.61,
    "ResNet-164": 5.93,
    "ResNet-110-v2": 6.37,
    "ResNet-164-v2": 5.46,
}


def published(name: str) -> dict[tuple[str, Measure], float]:
    return {(one.run, one.measure): one.value for one in EXPERIMENTS[name].published}


def rows(*depths: str, ending: str = "") -> dict[tuple[str, Measure], float]:
    return {(f"ResNet-{depth}{ending}", TEST): TABLE_6[depth] for depth in depths}


def test_cifar() -> None:
    assert published("table6") == rows("20", "32", "44", "56", "110")
    assert published("degradation") == rows("20", "32", "44", "56")
    assert published("responses") == rows("20", "56", "110")
    assert published("shortcuts") == rows("20", "56", ending="-A")
    training = ("ResNet-1202", Measure("train", "training"))
    assert published("depth1202") == rows("110", "1202") | {training: 0.1}
    assert published("preactivation") == {(run, TEST): value for run, value in IDENTITY.items()}
    said = EXPERIMENTS["table6"].paper("ResNet-110", TEST)
    assert said is not None
    assert "6.61±0.16" in said.said


def test_imagenet() -> None:
    expected = {
        (run, measure): value
        for table, measures in ((TABLES_2_3, (TEN, TEN_5)), (TABLE_4, (MANY, MANY_5)))
        for run, values in table.items()
        for measure, value in zip(measures, values, strict=True)
        if value is not None
    }
    assert published("imagenet") == expected | {("ensemble", MANY_5): 3.57}  # Table 5
    ensemble = EXPERIMENTS["imagenet"].ensemble
    assert ensemble is not None
    assert len(ensemble.members) == 6
    assert ensemble.members.count("ResNet-152") == 2


def test_what_the_papers_claim_holds_for_their_own_numbers() -> None:
    for name in EXPERIMENTS:
        known = published(name)
        for one in EXPERIMENTS[name].comparisons:
            assert one.measure in EXPERIMENTS[name].measures
            pair = [known.get((run, one.measure)) for run in (one.lower, one.higher)]
            if pair[0] is not None and pair[1] is not None:
                assert pair[0] < pair[1], one.text


def test_every_run_is_drawn() -> None:
    for experiment in EXPERIMENTS.values():
        drawn = {run for panel in experiment.panels for run in panel.runs}
        assert drawn <= {*experiment.names}
        left_out = {*experiment.names} - drawn
        assert left_out <= {"ResNet-34-C"}  # a fifth curve among those of the deeper networks


def test_names_that_do_not_fit_are_refused() -> None:
    run = Run("a", "cifar10_resnet20")
    with pytest.raises(ValueError, match="names of runs must be different"):
        Experiment("x", "", (run, run), ())
    with pytest.raises(ValueError, match=r"no run is named b; runs: \('a',\)"):
        Experiment("x", "", (run,), (Panel("p", ("a",)),), comparisons=(Comparison("a", "b"),))
    with pytest.raises(ValueError, match="has no run b; allowed: a"):
        Experiment("x", "", (run,), ()).chosen(("b",))
