"""From runs to recipes and commands: every one can be followed, and its flags say all of it."""

import json
from pathlib import Path

import pytest

from tests.support import helpers
from train.lab import planned as planning
from train.lab.experiment import Run
from train.lab.experiments import EXPERIMENTS
from train.lab.planned import Place, Schedule
from train.recipes import RECIPES, validity

PARSED = """
import json, sys
from absl import flags
from train.command import chosen, flags as own
own.define()
for words in json.loads(sys.stdin.read()):
    flags.FLAGS(["train", *words])
    print(json.dumps(json.loads(chosen.recipe().to_json())))
    flags.FLAGS.unparse_flags()
    for name in own.HELP:
        flags.FLAGS[name].value = None
    flags.FLAGS["field"].value = []
"""
SHORT = Schedule(8000)
OTHER = Schedule(40, {"dataset": "digits", "batch_size": 16, "nesterov": True})


def every(schedule: Schedule) -> list[planning.Planned]:
    return [
        one
        for experiment in EXPERIMENTS.values()
        for one in planning.planned(experiment.runs, [1, 2], schedule, Path("runs"))
    ]


@pytest.mark.parametrize("schedule", [Schedule(), SHORT, OTHER], ids=["full", "short", "other"])
def test_every_run_is_a_recipe_that_can_be_followed(schedule) -> None:
    for one in every(schedule):
        validity.check(one.recipe, replicas=8, precision="bfloat16", jit_compile=True)
        assert one.recipe.seed == one.seed
    assert {one.run.recipe for one in every(schedule)} <= {*RECIPES}


def test_a_full_run_is_the_published_recipe() -> None:
    recipe = Schedule().recipe(Run("a", "cifar10_resnet110"), seed=0)
    assert recipe == RECIPES["cifar10_resnet110"]


def test_the_commands_say_the_whole_recipe() -> None:
    """Asks the command itself: the recipes that it reads from the flags are the planned ones."""
    runs = every(Schedule()) + every(OTHER)
    words = [one.command(Place(Path("runs"), "data"))[2:] for one in runs]
    code = f"import io, sys; sys.stdin = io.StringIO({json.dumps(json.dumps(words))})\n{PARSED}"
    done = helpers.python("-c", code)
    assert done.returncode == 0, done.stderr
    read = [json.loads(line) for line in done.stdout.splitlines()]
    assert read == [json.loads(one.recipe.to_json()) for one in runs]


def test_one_workdir_for_one_recipe() -> None:
    """Experiments share runs, and never mix them."""
    for schedule in (Schedule(), SHORT):
        places: dict[Path, set[str]] = {}
        for one in every(schedule):
            places.setdefault(one.workdir, set()).add(one.recipe.to_json())
        assert all(len(found) == 1 for found in places.values())
        recipes = [recipe for found in places.values() for recipe in found]
        assert len(set(recipes)) == len(recipes)
    assert not {one.workdir for one in every(Schedule())} & {one.workdir for one in every(SHORT)}


def test_a_shorter_schedule_has_the_papers_proportions() -> None:
    recipe = SHORT.recipe(Run("a", "cifar10_resnet164_v2"), seed=1)
    assert (recipe.steps, recipe.boundaries, recipe.warmup_steps) == (8000, (4000, 6000), 50)
    assert (recipe.eval_every, recipe.log_every, recipe.save_every) == (400, 80, 100)
    assert SHORT.recipe(Run("a", "cifar10_plain20"), seed=1).warmup_steps == 0
    with pytest.raises(ValueError, match=r"1 steps leave no room .* become \(0, 1\)"):
        Schedule(1).recipe(Run("a", "cifar10_plain20"), seed=1)


def test_names_and_texts_say_the_schedule() -> None:
    assert Schedule().suffix == ""
    assert OTHER.suffix == "_40_steps_batch_size-16_dataset-digits_nesterov-True"
    assert OTHER.text.startswith(
        "40 steps, with boundaries and warm-up in proportion, batch_size=16"
    )
    assert OTHER.flags == [
        "--steps=40",
        "--change=batch_size=16",
        "--change=dataset=digits",
        "--change=nesterov=true",
    ]
    half = Schedule(8000, precision="bfloat16")
    assert half.flags == ["--steps=8000", "--precision=bfloat16"]
    assert half.text.endswith(", bfloat16")
    (one,) = planning.planned(
        [Run("C", "cifar10_resnet20", {"fields": {"shortcut": "C"}})], [3], half, Path("runs")
    )
    assert one.workdir == Path("runs/cifar10_resnet20_shortcut-C_8000_steps_bfloat16_seed3")
    assert one.shown(Place(Path("runs"), "/home/me", ("--strategy=mirrored",))) == (
        "python -m train --recipe=cifar10_resnet20 --steps=8000 --boundaries=4000,6000 --seed=3"
        " --log_every=80 --eval_every=400 --field=shortcut=C --precision=bfloat16"
        " --strategy=mirrored --data_dir=…"
        f" --workdir=…/{one.workdir.name}"
    )


def test_changes_of_all_recipes() -> None:
    given = ["dataset=123", "batch_size=16", "nesterov=true", "augmentation=none"]
    assert planning.parsed(given) == {
        "dataset": "123",
        "batch_size": 16,
        "nesterov": True,
        "augmentation": "none",
    }
    for wrong in ("steps=3", "seed=2", "batch_size", "nothing=1"):
        with pytest.raises(ValueError, match=f"--change must be FIELD=VALUE, got '{wrong}'"):
            planning.parsed([wrong])
