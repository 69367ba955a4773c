"""What a spec allows, what it derives, and what it says to everything else."""

import json
from dataclasses import FrozenInstanceError, asdict, replace

import numpy as np
import pytest

from keras_resnet import FAMILY, Spec, family, specs
from keras_resnet.family import spec
from keras_resnet.specs import BASIC, BOTTLENECK, Conv

BAD_VALUES = [  # field, value, error, words of the message
    ("shortcut", "E", ValueError, ["shortcut", "'E'", "'A'", "'B'", "'C'", "'D'", "None"]),
    ("shortcut", "a", ValueError, ["shortcut", "'a'"]),
    ("shortcut", False, ValueError, ["shortcut", "False"]),
    ("stem_pool", "same", ValueError, ["stem_pool", "'same'", "symmetric", "ceil", "None"]),
    ("zero_channels", "before", ValueError, ["zero_channels", "'before'", "after", "around"]),
    ("zero_channels", None, ValueError, ["zero_channels", "None"]),
    ("stride_on", "last", ValueError, ["stride_on", "'last'", "first", "3x3"]),
    ("stride_block", "3x3", ValueError, ["stride_block", "'3x3'", "first", "last"]),
    ("stride_block", None, ValueError, ["stride_block", "None"]),
    ("padding", "valid", ValueError, ["padding", "'valid'", "symmetric", "same"]),
    ("padding", True, ValueError, ["padding", "True"]),
    ("stem_norm", None, TypeError, ["stem_norm", "None", "True", "False"]),
    ("stem_norm", 0, TypeError, ["stem_norm", "0", "True", "False"]),
    ("preact", 1, TypeError, ["preact", "1", "True", "False"]),
    ("zero_gamma", "yes", TypeError, ["zero_gamma", "'yes'", "True", "False"]),
    ("stochastic_depth", 1.0, ValueError, ["stochastic_depth", "1.0", "[0, 1)"]),
    ("stochastic_depth", -0.1, ValueError, ["stochastic_depth", "-0.1"]),
    ("stochastic_depth", float("nan"), ValueError, ["stochastic_depth", "nan"]),
    ("stochastic_depth", "0.2", TypeError, ["stochastic_depth", "'0.2'"]),
    ("stochastic_depth", True, TypeError, ["stochastic_depth", "True"]),
    ("output_stride", 12, ValueError, ["output_stride", "12", "[4, 8, 16, 32]"]),
    ("output_stride", 2, ValueError, ["output_stride", "2", "[4, 8, 16, 32]"]),
    ("output_stride", "16", ValueError, ["output_stride", "'16'"]),
    ("classes", 10, TypeError, ["classes", "branch", "output_stride"]),
    ("repeats", (2, 0), ValueError, ["repeats", "(2, 0)", "positive"]),
    ("repeats", (), TypeError, ["repeats", "()"]),
    ("repeats", 4, TypeError, ["repeats", "4"]),
    ("repeats", (1.0,), TypeError, ["repeats", "1.0"]),
    ("repeats", "34", TypeError, ["repeats", "'34'"]),
    ("branch", (), ValueError, ["branch"]),
    ("branch", 3, TypeError, ["branch", "3", "Conv(kernel, filters, stride=1)"]),
    ("branch", ((3,),), TypeError, ["branch", "((3,),)"]),
    ("branch", ((2, 1),), ValueError, ["branch", "((2, 1),)", "odd"]),
    ("branch", ((3, 1, 2),), ValueError, ["stride_on", "((3, 1, 2),)"]),
    ("stem", (), ValueError, ["stem"]),
    ("stem", ((4, 64, 2),), ValueError, ["stem", "4", "odd"]),
    ("stem", ((7, 0, 2),), ValueError, ["stem", "0"]),
]


def raised(error: type[Exception], call) -> str:
    with pytest.raises(error) as caught:
        call()
    return str(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "error", "words"), BAD_VALUES, ids=[f"{f}={v!r}" for f, v, *_ in BAD_VALUES]
)
def test_bad_values_are_named(field, value, error, words) -> None:
    message = raised(error, lambda: spec("resnet50", **{field: value}))
    assert [word for word in words if word not in message] == []


@pytest.mark.parametrize(
    ("network", "fields", "words"),
    [
        ("resnet50", {"preact": True, "zero_gamma": True}, ["zero_gamma=True", "preact=True"]),
        ("resnet50_v2", {"zero_gamma": True}, ["zero_gamma=True", "preact=True"]),
        ("plain34", {"zero_gamma": True}, ["zero_gamma=True", "shortcut=None"]),
        ("plain34", {"stochastic_depth": 0.1}, ["stochastic_depth=0.1", "shortcut=None"]),
        ("resnet18", {"stride_on": "3x3", "branch": ((5, 1),)}, ["stride_on='3x3'", "[5]"]),
        ("resnet50", {"stem_norm": False}, ["stem_norm=False", "preact=True", "preact=False"]),
    ],
    ids=["v1-made-v2", "v2", "plain-gamma", "plain-depth", "no-3x3", "v1-raw-stem"],
)
def test_fields_that_contradict_each_other_are_named(network, fields, words) -> None:
    message = raised(ValueError, lambda: spec(network, **fields))
    assert [word for word in words if word not in message] == []


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("resnet51", "resnet50"),
        ("ResNet50", "resnet50"),
        ("resnet50v2", "resnet50_v2"),
        ("resnet-50", "resnet50"),
        ("wideresnet50_2", "wide_resnet50_2"),
        ("plain35", "plain34"),
    ],
)
def test_unknown_networks_get_a_proposal(name: str, meant: str) -> None:
    message = raised(ValueError, lambda: spec(name))
    assert repr(name) in message
    assert meant in message.split("did you mean")[1]


def test_a_name_like_no_other_gets_the_whole_list() -> None:
    message = raised(ValueError, lambda: spec("§"))
    assert [name for name in FAMILY if name not in message] == []


@pytest.mark.parametrize("network", [50, None, b"resnet50", Spec(BASIC, (1,))], ids=repr)
def test_a_network_is_named_by_a_string(network: object) -> None:
    message = raised(TypeError, lambda: spec(network))
    assert repr(network) in message
    assert "resnet50" in message


def test_unknown_fields_are_named_with_the_known_ones() -> None:
    message = raised(TypeError, lambda: spec("resnet50", blocks=3, inputs=None, preact=True))
    assert "blocks, inputs;" in message
    assert [name for name in specs.FIELDS if name not in message] == []


def test_a_spec_is_frozen_and_hashable() -> None:
    one = spec("resnet50")
    with pytest.raises(FrozenInstanceError):
        one.preact = True
    assert {one: 1}[Spec(BOTTLENECK, (3, 4, 6, 3))] == 1
    assert one != replace(one, stride_on="3x3")


def test_lists_are_accepted_where_json_gives_them() -> None:
    listed = Spec([[3, 1], [3, 1]], [2, 2], stem=[[3, 16]])
    assert listed == Spec((Conv(3, 1), Conv(3, 1)), (2, 2), stem=(Conv(3, 16),))
    assert hash(listed) == hash(Spec(BASIC, (2, 2), stem=(Conv(3, 16),)))


def test_integers_of_numpy_are_integers() -> None:
    listed = spec(
        "resnet50",
        repeats=np.array([3, 4, 6, 3]),
        stem=[np.array([7, 64, 2])],
    )
    assert listed == spec("resnet50")
    assert {type(n) for n in (*listed.repeats, *listed.stem[0])} == {int}
    json.dumps(asdict(listed))
    for given in (np.float64(5), np.bool_(True), np.array([5]), b"5"):
        assert "repeats" in raised(TypeError, lambda given=given: spec("resnet50", repeats=[given]))


def test_differences_are_those_of_the_weights() -> None:
    one = spec("resnet18", output_stride=8, stochastic_depth=0.1)
    assert specs.differences(one, spec("resnet18_v1_5", zero_gamma=True)) == ()
    assert specs.differences(one, spec("resnet34_v2")) == ("repeats", "preact")
    assert specs.differences(spec("resnet50"), spec("resnet50_v1_5")) == ("stride_on",)
    around = {"zero_channels": "around"}
    assert specs.differences(spec("resnet20"), spec("resnet20", **around)) == ("zero_channels",)
    assert specs.differences(spec("resnet18"), spec("resnet18", **around)) == ()


@pytest.mark.parametrize("value", [4, 8, 16, 32, None])
def test_output_strides_of_imagenet_networks(value: int | None) -> None:
    assert spec("resnet50", output_stride=value).output_stride == value


def test_output_strides_follow_the_stem() -> None:
    message = raised(ValueError, lambda: spec("resnet20", output_stride=8))
    assert "[1, 2, 4]" in message


def test_widths_double_and_strides_halve_with_each_stage() -> None:
    """arXiv:1512.03385, table 1: 64 ... 512 filters, each later stage begins with stride 2."""
    places = list(spec("resnet34").places())
    assert [place.stage for place in places] == [1] * 3 + [2] * 4 + [3] * 6 + [4] * 3
    assert [place.width for place in places] == [64] * 3 + [128] * 4 + [256] * 6 + [512] * 3
    assert [i for i, place in enumerate(places) if place.stride == 2] == [3, 7, 13]
    assert {place.stride for place in places} == {1, 2}
    assert [place.name for place in places[2:4]] == ["stage1_block3", "stage2_block1"]
    assert [place.name for place in places if place.first] == ["stage1_block1"]
    assert {place.dilation for place in places} == {(1, 1)}
    assert {place.drop for place in places} == {0.0}


def test_the_last_block_of_a_stage_can_stride_in_place_of_the_next_one() -> None:
    """As keras.applications' v2: stack1(..., stride1=2) ends three stages, and the fourth in 1."""
    places = list(spec("resnet34", stride_block="last").places())
    assert [i for i, place in enumerate(places) if place.stride == 2] == [2, 6, 12]
    assert [place.width for place in places] == [64] * 3 + [128] * 4 + [256] * 6 + [512] * 3
    dilated = list(spec("resnet34", stride_block="last", output_stride=8).places())
    assert [i for i, place in enumerate(dilated) if place.stride == 2] == [2]
    assert [place.dilation for place in dilated[5:8]] == [(1, 1), (1, 2), (2, 2)]
    assert dilated[12].dilation == (2, 4)


def test_the_last_branch_is_dropped_at_the_rate_of_the_spec() -> None:
    rates = [place.drop for place in spec("resnet18", stochastic_depth=0.5).places()]
    assert rates == pytest.approx([0.5 * k / 8 for k in range(1, 9)])


@pytest.mark.parametrize("network", FAMILY)
def test_a_spec_is_known_by_the_name_of_the_family(network: str) -> None:
    """Two names of one network would hide, say, v1 behind v1.5."""
    wanted = FAMILY[network]
    assert family.name_of(wanted, "unknown") == network
    assert family.name_of(replace(wanted, stochastic_depth=0.0, repeats=(9,)), "mine") == "mine"
