"""The rows of recipes against the paper, and what a recipe refuses."""

import dataclasses
import json

import pytest

from keras_resnet.models import weights_flags
from tests.support import helpers, recipe_goldens
from train import recipes
from train.recipes import RECIPES
from train.recipes.expected import Expected
from train.recipes.recipe import Recipe
from train.tasks.protocols import PROTOCOLS

# What a source of hyper-parameters does not have: where a run stands, and how often it looks.
NOT_PUBLISHED = {"seed", "validation", "max_broken", "log_every", "eval_every", "save_every"}
NOT_PUBLISHED |= {"source", "expected", "micro_batches", "precise_bn"}
# Fields without effect unless another one is chosen.
IDLE = {"trust": ("optimizer", "lars"), "magnitude": ("policy", "randaugment")}


def published(recipe: Recipe) -> dict:
    """Returns the fields of a recipe that change what is learned."""
    values = dataclasses.asdict(recipe)
    for name, (field, value) in IDLE.items():
        if values[field] != value:
            del values[name]
    return {name: value for name, value in values.items() if name not in NOT_PUBLISHED}


def test_every_row_has_a_golden_or_is_ours():
    assert set(RECIPES) == set(recipe_goldens.GOLDENS) | set(recipe_goldens.OURS)


@pytest.mark.parametrize("name", recipe_goldens.GOLDENS)
def test_rows_are_what_their_sources_say(name):
    golden = {"dataset": "imagenet2012", **recipe_goldens.GOLDENS[name]}
    found = published(RECIPES[name])
    assert set(found) == set(golden)
    numbers = {field for field, value in golden.items() if isinstance(value, float)}
    assert {f: found[f] for f in numbers} == pytest.approx({f: golden[f] for f in numbers})
    others = set(golden) - numbers
    assert {f: found[f] for f in others} == {f: golden[f] for f in others}


@pytest.mark.parametrize("name", recipe_goldens.OURS)
def test_rows_of_ours_use_what_their_sources_say(name):
    golden = recipe_goldens.OURS[name]
    found = published(RECIPES[name])
    assert {field: found[field] for field in golden} == golden


def expected(name: str) -> dict[str, float]:
    """Returns the accuracy that a row hopes for, by the protocol of its source."""
    return {x.protocol: x.top1 for x in RECIPES[name].expected}


def test_rows_expect_what_their_sources_reached():
    for depth, error in recipe_goldens.TABLE_6.items():
        assert expected(f"cifar10_resnet{depth}") == pytest.approx({"one_crop": 100 - error})
        assert not RECIPES[f"cifar100_resnet{depth}"].expected
    for (dataset, network), error in recipe_goldens.V2_TABLE_4.items():
        assert expected(f"{dataset}_{network}") == pytest.approx({"one_crop": 100 - error})
    for name, (*_, error) in recipe_goldens.TABLES_2_3.items():
        assert expected(name) == pytest.approx({"ten_crop": 100 - error})
    for name, reached in recipe_goldens.EXPECTED.items():
        assert expected(name) == pytest.approx(reached)


def test_rows_name_protocols_that_exist():
    """`--protocol` takes them, and no row names one twice or says less than where it stands."""
    for name, recipe in RECIPES.items():
        named = [x.protocol for x in recipe.expected]
        assert set(named) <= set(PROTOCOLS), name
        assert len(set(named)) == len(named), name
        assert all(x.place for x in recipe.expected), name
    with pytest.raises(ValueError, match=r"one_crop.*'12_crop'"):
        Expected("12_crop", 76.0, "here")
    with pytest.raises(ValueError, match=r"top1 must be percent, got -1.0"):
        Expected("one_crop", -1.0, "here")


def test_a_recipe_of_words_is_read():
    """Recipes of earlier versions say what they expect in words, and are continued."""
    values = {**json.loads(RECIPES["cifar10_resnet20"].to_json()), "expected": "8.75 % (Table 6)"}
    assert Recipe.from_json(json.dumps(values)).expected == ()


def test_rows_of_the_paper_stay_within_its_iterations():
    """Section 3.4: "up to 60 x 10^4 iterations"."""
    for name in recipe_goldens.TABLES_2_3:
        assert RECIPES[name].steps <= 600_000


@pytest.mark.parametrize("name", RECIPES)
def test_json_round_trip(name):
    assert Recipe.from_json(RECIPES[name].to_json()) == RECIPES[name]


@pytest.mark.parametrize(
    "fields",
    [{"shortcut": "C"}, {"repeats": (1, 1, 1)}, weights_flags.parse_fields(["repeats=[1,1,1]"])],
    ids=["text", "tuple", "flag"],
)
def test_json_round_trip_with_fields(fields):
    recipe = helpers.recipe(fields=fields, boundaries=(1, 2))
    assert Recipe.from_json(recipe.to_json()) == recipe


BAD = [
    ("steps", 0, "at least 1"),
    ("steps", -5, "at least 1"),
    ("batch_size", 0, "at least 1"),
    ("image_size", 0, "at least 1"),
    ("log_every", 0, "at least 1"),
    ("eval_every", 0, "at least 1"),
    ("save_every", 0, "at least 1"),
    ("learning_rate", -0.1, "at least 0"),
    ("learning_rate", float("nan"), "at least 0"),
    ("learning_rate", float("inf"), "at least 0"),
    ("weight_decay", -1e-4, "at least 0"),
    ("warmup_steps", -1, "at least 0"),
    ("validation", -1, "at least 0"),
    ("seed", -1, "at least 0"),
    ("momentum", 1.0, "[0, 1)"),
    ("momentum", -0.5, "[0, 1)"),
    ("warmup_error", 1.5, "[0, 1)"),
    ("label_smoothing", 1.0, "[0, 1)"),
    ("boundaries", (20, 10), "increasing"),
    ("boundaries", (10, 10), "increasing"),
    ("boundaries", (0, 10), "increasing"),
    ("schedule", "linear", "cosine"),
    ("warmup", "exponential", "constant"),
    ("augmentation", "mixup", "shift_flip"),
    ("preprocessing", "imagenet", "caffe"),
    ("network", "resnet21", "resnet20"),
]


@pytest.mark.parametrize(("field", "value", "allowed"), BAD, ids=[f"{f}={v}" for f, v, _ in BAD])
def test_bad_values_name_what_came_and_what_is_allowed(field, value, allowed):
    with pytest.raises(ValueError, match=field) as caught:
        helpers.recipe(**{field: value})
    assert str(value) in str(caught.value)
    assert allowed in str(caught.value)


def test_a_trust_of_0_would_be_none():
    with pytest.raises(ValueError, match="trust must be above 0"):
        helpers.recipe(optimizer="lars", trust=0.0)


def test_two_warmups_are_refused():
    with pytest.raises(ValueError, match=r"warmup_steps.*warmup_error"):
        helpers.recipe(warmup_steps=5, warmup_error=0.8)


def test_a_constant_warmup_at_0_is_refused():
    with pytest.raises(ValueError, match=r"warmup=constant needs a warmup_rate"):
        helpers.recipe(warmup="constant", warmup_steps=5)


def test_a_recipe_written_before_warmups_had_shapes_warms_up_in_a_line():
    values = json.loads(helpers.recipe(warmup_steps=5).to_json())
    del values["warmup"]
    assert Recipe.from_json(json.dumps(values)).warmup == "linear"


def test_fields_of_no_spec_are_refused():
    with pytest.raises(TypeError, match="colour"):
        helpers.recipe(fields={"colour": "red"})


def test_unknown_recipe_names_near_ones():
    with pytest.raises(ValueError, match=r"cifar10_resnt20.*cifar10_resnet20"):
        recipes.find("cifar10_resnt20")


def test_find_changes_fields_and_leaves_the_row():
    changed = recipes.find("cifar10_resnet20", steps=5, fields={"shortcut": "B"})
    assert (changed.steps, changed.fields) == (5, {"shortcut": "B"})
    assert RECIPES["cifar10_resnet20"].steps == 64_000
