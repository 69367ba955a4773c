"""What `python -m train` says before TensorFlow is imported."""

import re
import resource
import typing

import pytest
from absl import flags

from keras_resnet.preprocessing import MODES
from tests.support import helpers
from tests.support.helpers import ROOT
from train import recipes
from train.command import flags as own, listing, usage
from train.recipes import RECIPES
from train.recipes.recipe import HELP, Preprocessing

QUICK = {
    "help": (["--help"], 0, "\nFine-tuning\n  --init_weights=…"),
    "short": (["-h"], 0, "--learning_rate=X       Peak learning rate, for the whole batch. [0.1]"),
    "help of a recipe": (["--recipe=finetune", "--help"], 0, "for the whole batch. [0.01]"),
    "list": (["--list_recipes"], 0, "\ncifar10_resnet20"),
    "slip": (["--lr=1"], 1, "error: unknown flag --lr: did you mean --learning_rate? See --help"),
    "typo in help": (["--recipe=finetun", "--help"], 1, "'finetun': did you mean finetune?"),
}


@pytest.mark.parametrize("name", QUICK)
def test_help_does_not_wait_for_tensorflow(name):
    words, code, text = QUICK[name]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = helpers.python("-X", "importtime", "-m", "train", *words)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == code, done.stderr
    assert text in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert after.ru_utime - before.ru_utime < 3
    imported = set(re.findall(r"^import time: .*\| +(\w+)", done.stderr, re.MULTILINE))
    assert "absl" in imported
    assert not imported & {"tensorflow", "keras", "jax", "matplotlib", "rich"}


@pytest.fixture
def defined(monkeypatch) -> flags.FlagValues:
    """The flags of the command, and of no other one."""
    found = flags.FlagValues()
    for module in (own, usage):
        monkeypatch.setattr(module, "FLAGS", found)
    for kind in ("string", "float", "integer", "bool", "enum", "list", "multi_string"):
        define = getattr(flags, f"DEFINE_{kind}")
        monkeypatch.setattr(
            own.flags,
            f"DEFINE_{kind}",
            lambda *given, define=define: define(*given, flag_values=found),
        )
    own.define()
    flags.DEFINE_bool("verbose", False, "")
    return found


def test_every_flag_is_in_one_group(defined):
    named = " ".join(usage.GROUPS.values()).split()
    assert sorted(named) == sorted(defined)
    assert set(own.ALIKE.values()) <= set(named)
    assert not set(own.ALIKE) & set(named)


@pytest.mark.parametrize("recipe", ["digits_resnet20", "finetune", "imagenet_resnet50_a1"])
def test_help_fits_a_terminal_and_shows_the_recipe(defined, recipe):
    told = usage.text(["train", f"--recipe={recipe}"])
    assert max(map(len, told.splitlines())) <= 100
    flat = " ".join(told.split())
    for name in ("batch_size", "image_size", "magnitude"):
        value = getattr(RECIPES[recipe], name)
        assert f"{HELP[name]} [{value:g}]" in flat
    assert ("unless they are given. finetune: 30 passes, from 50 to 1,000 steps. [30]" in flat) == (
        recipe == "finetune"
    )


def test_examples_of_the_help_are_commands(defined):
    for line in usage.HEAD.replace("\\\n", " ").splitlines():
        if line.startswith("    python -m train"):
            words = [word for word in line.split()[2:] if word != "--help"]
            defined(words)
            assert defined.recipe in RECIPES


def test_the_list_has_a_row_for_each_recipe():
    titles, *rows = listing.table().splitlines()
    assert titles.split()[:2] == ["recipe", "network"]
    found = {row.split()[0]: row for row in rows[: len(RECIPES)]}
    assert list(found) == list(RECIPES)
    # 64,000 steps of 128 images, Table 6: 8.75 % of error.
    assert found["cifar10_resnet20"].split()[1:] == [
        "resnet20",
        *["91.25", "%", "(one_crop)", "8.19", "M"],
        "arXiv:1512.03385",
    ]
    assert "30 epochs" in found["finetune"]


def test_names_of_preprocessing_are_those_of_the_library():
    assert set(typing.get_args(Preprocessing)) == {"per_pixel", "weights", *MODES}


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("finetun", ["finetune"]),
        ("resnet110", ["cifar10_resnet110", "cifar100_resnet110"]),
        ("imagenet-resnet50-a1", ["imagenet_resnet50_a1"]),
        ("cifar_resnet32", ["cifar10_resnet32"]),
    ],
)
def test_near_names_are_told(name, near):
    with pytest.raises(ValueError, match="--list_recipes lists all") as caught:
        recipes.find(name)
    for one in near:
        assert one in str(caught.value)
    assert len(str(caught.value)) < 180


def test_documents_name_every_flag_of_looking():
    text = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    for name in ("list_recipes", "print_recipe", "dry_run", "verbose", "epochs"):
        assert f"`--{name}" in text
