"""The experiments, a row for each; standard library only.

Sources of published numbers: He et al., arXiv:1512.03385 (tables and figures without another
source), and arXiv:1603.05027.
"""

from collections.abc import Mapping

from train.lab.experiment import (
    RESPONSE,
    TEST,
    TRAIN,
    Comparison,
    Ensemble,
    Experiment,
    Measure,
    Panel,
    Published,
    Run,
)

DEPTHS = (20, 32, 44, 56)
PLAIN = tuple(f"plain-{depth}" for depth in DEPTHS)
RESIDUAL = tuple(f"ResNet-{depth}" for depth in DEPTHS)
TABLE_6 = {
    "ResNet-20": Published("ResNet-20", 8.75, "Table 6"),
    "ResNet-32": Published("ResNet-32", 7.51, "Table 6"),
    "ResNet-44": Published("ResNet-44", 7.17, "Table 6"),
    "ResNet-56": Published("ResNet-56", 6.97, "Table 6"),
    "ResNet-110": Published("ResNet-110", 6.43, "Table 6", TEST, "6.43, best of 5: 6.61±0.16"),
    "ResNet-1202": Published("ResNet-1202", 7.93, "Table 6"),
}


def _cifar(name: str) -> Run:
    """Returns the run of a network by its name in the paper, such as ResNet-20."""
    return Run(name, f"cifar10_{name.lower().replace('-', '')}")


DEGRADATION = Experiment(
    name="degradation",
    shows="Figures 1 and 6, left and middle: deeper plain networks have higher training and test"
    " errors; deeper residual networks have lower ones",
    runs=tuple(_cifar(name) for name in PLAIN + RESIDUAL),
    panels=(Panel("plain", PLAIN), Panel("residual", RESIDUAL)),
    published=tuple(TABLE_6[name] for name in RESIDUAL),
    comparisons=tuple(
        Comparison(lower, higher, measure)
        for measure in (TRAIN, TEST)
        for lower, higher in (
            ("plain-20", "plain-32"),
            ("plain-32", "plain-44"),
            ("plain-44", "plain-56"),
            ("ResNet-32", "ResNet-20"),
            ("ResNet-44", "ResNet-32"),
            ("ResNet-56", "ResNet-44"),
            ("ResNet-56", "plain-56"),
        )
    ),
    note="The paper draws the errors of plain networks and prints no numbers.",
)

TABLE6 = Experiment(
    name="table6",
    shows="Table 6 and Figure 6, middle and right: residual networks on CIFAR-10",
    runs=tuple(_cifar(name) for name in (*RESIDUAL, "ResNet-110")),
    panels=(Panel("residual", (*RESIDUAL, "ResNet-110")),),
    published=tuple(TABLE_6[name] for name in (*RESIDUAL, "ResNet-110")),
    comparisons=(
        Comparison("ResNet-32", "ResNet-20"),
        Comparison("ResNet-44", "ResNet-32"),
        Comparison("ResNet-56", "ResNet-44"),
        Comparison("ResNet-110", "ResNet-56"),
    ),
    note="The paper trains ResNet-110 five times (--seeds=1,2,3,4,5).",
)

SHORTCUTS = Experiment(
    name="shortcuts",
    shows="options A, B and C of section 4.1 (Table 3, there on ImageNet), on CIFAR-10",
    runs=tuple(
        Run(f"ResNet-{depth}-{option}", f"cifar10_resnet{depth}", changes)
        for depth in (20, 56)
        for option, changes in {
            "A": {},  # of the recipe
            "B": {"fields": {"shortcut": "B"}},
            "C": {"fields": {"shortcut": "C"}},
        }.items()
    ),
    panels=(
        Panel("ResNet-20", ("ResNet-20-A", "ResNet-20-B", "ResNet-20-C")),
        Panel("ResNet-56", ("ResNet-56-A", "ResNet-56-B", "ResNet-56-C")),
    ),
    published=(
        Published("ResNet-20-A", 8.75, "Table 6"),
        Published("ResNet-56-A", 6.97, "Table 6"),
    ),
    comparisons=(
        Comparison("ResNet-20-B", "ResNet-20-A"),
        Comparison("ResNet-20-C", "ResNet-20-B"),
        Comparison("ResNet-56-B", "ResNet-56-A"),
        Comparison("ResNet-56-C", "ResNet-56-B"),
    ),
    note="The paper compares the options on ImageNet, where B is slightly better than A, and C"
    " marginally better than B; on CIFAR-10 it has only A. Several seeds are needed to see so"
    " little.",
)

_V2 = "cifar10_resnet164_v2"  # the recipe of arXiv:1603.05027, also for its original networks
PREACTIVATION = Experiment(
    name="preactivation",
    shows="arXiv:1603.05027, Table 2: original and pre-activation units on CIFAR-10",
    runs=(
        Run("ResNet-110", _V2, {"network": "resnet110"}),
        Run("ResNet-110-v2", _V2, {"network": "resnet110_v2"}),
        Run("ResNet-164", _V2, {"network": "resnet164"}),
        Run("ResNet-164-v2", _V2),
    ),
    panels=(
        Panel("110 layers", ("ResNet-110", "ResNet-110-v2")),
        Panel("164 layers", ("ResNet-164", "ResNet-164-v2")),
    ),
    published=(
        Published("ResNet-110", 6.61, "1603.05027, Table 2"),
        Published("ResNet-110-v2", 6.37, "1603.05027, Table 2"),
        Published("ResNet-164", 5.93, "1603.05027, Table 2"),
        Published("ResNet-164-v2", 5.46, "1603.05027, Table 2"),
    ),
    comparisons=(
        Comparison("ResNet-110-v2", "ResNet-110"),
        Comparison("ResNet-164-v2", "ResNet-164"),
    ),
    note="Published numbers are medians of five runs.",
)

RESPONSES = Experiment(
    name="responses",
    shows="Figure 7: layers of residual networks respond less than those of plain ones, and less"
    " the deeper the network",
    runs=tuple(
        _cifar(name) for name in ("plain-20", "plain-56", "ResNet-20", "ResNet-56", "ResNet-110")
    ),
    panels=(
        Panel("plain and residual", ("plain-20", "plain-56", "ResNet-20", "ResNet-56")),
        Panel("residual", ("ResNet-20", "ResNet-56", "ResNet-110")),
    ),
    measures=(TEST, RESPONSE),
    published=tuple(TABLE_6[name] for name in ("ResNet-20", "ResNet-56", "ResNet-110")),
    comparisons=(
        Comparison("ResNet-20", "plain-20", RESPONSE),
        Comparison("ResNet-56", "plain-56", RESPONSE),
        Comparison("ResNet-56", "ResNet-20", RESPONSE),
        Comparison("ResNet-110", "ResNet-56", RESPONSE),
    ),
    note="Responses are standard deviations over 1,000 test images, after normalization and before"
    " ReLU and addition. The paper draws them and prints no numbers.",
)

DEPTH1202 = Experiment(
    name="depth1202",
    shows="section 4.2 and Figure 6, right: 1202 layers can be trained, and generalize worse than"
    " 110",
    runs=(_cifar("ResNet-110"), _cifar("ResNet-1202")),
    panels=(Panel("residual", ("ResNet-110", "ResNet-1202")),),
    published=(
        TABLE_6["ResNet-110"],
        TABLE_6["ResNet-1202"],
        Published("ResNet-1202", 0.1, "section 4.2", TRAIN, "below 0.1"),
    ),
    comparisons=(Comparison("ResNet-110", "ResNet-1202"),),
    note="The full recipe is for a GPU; a few steps (--steps=20 --only=ResNet-1202) show that it"
    " trains.",
)

TEN_TOP1 = Measure("top1", "ten_crop")
TEN_TOP5 = Measure("top5", "ten_crop")
MULTI_TOP1 = Measure("top1", "multi_scale")
MULTI_TOP5 = Measure("top5", "multi_scale")


def _imagenet(name: str, tables: Mapping[Measure, float]) -> tuple[Published, ...]:
    places = {"ten_crop": "Tables 2 and 3", "multi_scale": "Table 4"}
    return tuple(
        Published(name, value, places[measure.protocol], measure)
        for measure, value in tables.items()
    )


_IMAGENET = {  # name to recipe, and to errors: Tables 2 to 4
    "plain-18": ("plain18", {TEN_TOP1: 27.94}),
    "plain-34": ("plain34", {TEN_TOP1: 28.54, TEN_TOP5: 10.02}),
    "ResNet-18-A": ("resnet18", {TEN_TOP1: 27.88}),
    "ResNet-34-A": ("resnet34_a", {TEN_TOP1: 25.03, TEN_TOP5: 7.76}),
    "ResNet-34-B": (
        "resnet34",
        {TEN_TOP1: 24.52, TEN_TOP5: 7.46, MULTI_TOP1: 21.84, MULTI_TOP5: 5.71},
    ),
    "ResNet-34-C": (
        "resnet34_c",
        {TEN_TOP1: 24.19, TEN_TOP5: 7.40, MULTI_TOP1: 21.53, MULTI_TOP5: 5.60},
    ),
    "ResNet-50": (
        "resnet50",
        {TEN_TOP1: 22.85, TEN_TOP5: 6.71, MULTI_TOP1: 20.74, MULTI_TOP5: 5.25},
    ),
    "ResNet-101": (
        "resnet101",
        {TEN_TOP1: 21.75, TEN_TOP5: 6.05, MULTI_TOP1: 19.87, MULTI_TOP5: 4.60},
    ),
    "ResNet-152": (
        "resnet152",
        {TEN_TOP1: 21.43, TEN_TOP5: 5.71, MULTI_TOP1: 19.38, MULTI_TOP5: 4.49},
    ),
}
IMAGENET = Experiment(
    name="imagenet",
    shows="Tables 2 to 5 and Figure 4: plain and residual networks of 18 to 152 layers on ImageNet",
    runs=tuple(Run(name, f"imagenet_{recipe}") for name, (recipe, _) in _IMAGENET.items()),
    panels=(
        Panel("plain", ("plain-18", "plain-34")),
        Panel("residual", ("ResNet-18-A", "ResNet-34-A")),
        Panel("deeper", ("ResNet-34-B", "ResNet-50", "ResNet-101", "ResNet-152")),
    ),
    measures=(TEN_TOP1, TEN_TOP5, MULTI_TOP1, MULTI_TOP5, TRAIN),
    published=(
        *(
            published
            for name, (_, tables) in _IMAGENET.items()
            for published in _imagenet(name, tables)
        ),
        Published("ensemble", 3.57, "Table 5, test set", MULTI_TOP5),
    ),
    comparisons=(
        Comparison("plain-18", "plain-34", TRAIN),
        Comparison("plain-18", "plain-34", TEN_TOP1),
        Comparison("ResNet-34-A", "ResNet-18-A", TEN_TOP1),
        Comparison("ResNet-34-A", "plain-34", TEN_TOP1),
        Comparison("ResNet-34-B", "ResNet-34-A", TEN_TOP1),
        Comparison("ResNet-34-C", "ResNet-34-B", TEN_TOP1),
        Comparison("ResNet-50", "ResNet-34-B", TEN_TOP1),
        Comparison("ResNet-101", "ResNet-50", TEN_TOP1),
        Comparison("ResNet-152", "ResNet-101", TEN_TOP1),
    ),
    ensemble=Ensemble(
        "ensemble",
        ("ResNet-34-B", "ResNet-34-C", "ResNet-50", "ResNet-101", "ResNet-152", "ResNet-152"),
        (MULTI_TOP5,),
    ),
    note="Errors are those of the validation images; the paper's ensemble was measured on the test"
    " images, which have no public labels. Of its six networks it names only two of 152 layers; the"
    " second one needs a second seed here.",
)

EXPERIMENTS: Mapping[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        DEGRADATION,
        TABLE6,
        SHORTCUTS,
        PREACTIVATION,
        RESPONSES,
        DEPTH1202,
        IMAGENET,
    )
}
