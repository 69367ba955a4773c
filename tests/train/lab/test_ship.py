"""A finished run becomes weights of the package, and an unfinished or other one does not."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

import keras_resnet
from keras_resnet.manifest import Manifest
from keras_resnet.weights import catalogue
from keras_resnet.weights.catalogue import Card
from tests.support import helpers, shipping
from train import datasets
from train.datasets.examples import sample
from train.lab import finished, ship
from train.run import starts

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

TOLD = {"commit": "abc", "precision": "bfloat16", "hardware": "an abacus"}
UNTOLD = dict.fromkeys(TOLD)


def test_kernels_are_rounded_and_all_else_is_the_same(run, folder):
    before = shipping.arrays(run / "final.weights.h5")
    after = shipping.arrays(folder / "digits" / "resnet8.weights.h5")
    assert set(before) == set(after)
    kinds = {(array.ndim > 1, after[name].dtype.name) for name, array in before.items()}
    assert kinds == {(True, "float16"), (False, "float32"), (False, "uint8")}
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array.astype(after[name].dtype))


def test_the_card_says_what_is_true(run, folder):
    file = folder / "digits" / "resnet8.weights.h5"
    card = Card.from_json(file.with_name("resnet8.json").read_text())
    assert (card.name, card.classes, card.steps, card.seed) == ("digits/resnet8", 10, 60, 3)
    assert card.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert card.bytes == len(file.read_bytes()) <= catalogue.MOST_BYTES
    assert card.starts == [{**shipping.START, "hardware": "1 x abacus"}]
    model = keras_resnet.from_weights(file)
    test = datasets.load("digits", "test", None)
    images, labels = (np.asarray(x) for x in test.gather(np.arange(test.size)))
    right = np.argmax(model.predict(model.preprocessing(images), verbose=0), 1) == labels
    assert card.accuracy[0]["images"] == 360
    assert card.top1 == pytest.approx(100 * right.mean(), abs=1e-4)
    result = json.loads((run / "result.json").read_text())
    assert card.accuracy[2]["top1"] == pytest.approx(result["top1"], abs=1e-4)


def test_the_curve_is_that_of_the_run(run, folder):
    card = Card.from_json((folder / "digits" / "resnet8.json").read_text())
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    trained = {x["step"]: 100 - 100 * x["accuracy"] for x in lines if x["split"] == "train"}
    measured = {x["step"]: 100 - x["top1"] for x in lines if x["split"] == "test"}
    assert card.curve_split == "test"
    assert [row[0] for row in card.curve] == [20, 40, 60]
    for step, train, test in card.curve:
        assert (train, test) == pytest.approx((trained[step], measured[step]), abs=0.006)


def test_the_command_trains_the_same_again(run, folder):
    """In the workdir of the run it would go on with the same recipe, had that not ended."""
    card = Card.from_json((folder / "digits" / "resnet8.json").read_text())
    words = card.command.removeprefix("python -m ").split()
    assert words[-2:] == ["--data_dir=…", "--workdir=…"]
    done = helpers.module(*words[:-2], f"--workdir={run}")
    assert f"the run in {run} is finished: 60 steps" in done.stderr
    done = helpers.module(*words[:-2], "--seed=4", f"--workdir={run}")
    assert "holds a run of another recipe (seed=3 there, 4 now)" in done.stderr


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"boundaries": [10, 20]}, "--boundaries=10,20"),
        ({"nesterov": True, "ema": 0.5}, "--nesterov=true --ema=0.5"),
        ({"fields": {"zero_gamma": True}}, "--field=zero_gamma=true"),
    ],
)
def test_changes_are_flags(changes, words):
    found = ship.command("finetune", changes, "bfloat16")
    expected = f"python -m train --recipe=finetune {words} --precision=bfloat16"
    assert found.startswith(expected)


def test_the_same_run_gives_the_same_bytes(run, folder, tmp_path):
    """Also in another process, and at another time."""
    arguments = [str(tmp_path), "train.lab.ship", f"--workdir={run}"]
    told = helpers.last_line(helpers.module("tests.support.with_weights", *arguments))
    for name in ("resnet8.weights.h5", "resnet8.json"):
        again = (tmp_path / "digits" / name).read_bytes()
        assert again == (folder / "digits" / name).read_bytes()
    assert (
        told["sha256"]
        == hashlib.sha256((folder / "digits" / "resnet8.weights.h5").read_bytes()).hexdigest()
    )


def unfinished(run):
    (run / "final.weights.h5").unlink()


def further(run):
    result = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps({**result, "step": 59}))


def extended(run):
    recipe = json.loads((run / "recipe.json").read_text())
    (run / "recipe.json").write_text(json.dumps({**recipe, "steps": 90}))


def another_result(run):
    shipping.restated(run, result={"top1": 99.0})


def damaged(run):
    (run / "result.json").write_text('{"step": 6')


def without_a_recipe(run):
    (run / "recipe.json").unlink()


RUNS = {
    unfinished: r"is not finished: it has no final\.weights\.h5",
    further: "is not finished: 59 of 60 steps",
    extended: r"is not finished: 60 of 90 steps, and final\.weights\.h5 is the network after 60",
    another_result: r"measured {'top1': 99\.0}, and result\.json says",
    damaged: "does not hold a finished run",
    without_a_recipe: "does not hold a finished run",
}


@pytest.mark.parametrize("change", RUNS, ids=lambda change: change.__name__)
def test_a_run_that_is_not_finished_is_refused(run, tmp_path, change):
    copy = shipping.copied(run, tmp_path / "copy")
    finished.read(copy)
    change(copy)
    with pytest.raises(ValueError, match=RUNS[change]):
        finished.read(copy)


NETWORKS = {
    "first weights": ({"init_weights": "imagenet"}, "began with the weights 'imagenet'"),
    "steps": ({"changes": [{"after_step": 9, "steps": [30, 60]}]}, "changed from 30 to 60 steps"),
    "rounded": ({"quantized": "int8"}, "is rounded to int8"),
}


def test_a_run_of_an_earlier_version_is_finished_without_its_result(run, tmp_path):
    copy = shipping.copied(run, tmp_path / "copy")
    (copy / "result.json").unlink()
    assert finished.read(copy).result == finished.read(run).result


@pytest.mark.parametrize("name", NETWORKS)
def test_a_run_that_no_name_can_stand_for_is_refused(run, tmp_path, name):
    changes, message = NETWORKS[name]
    copy = shipping.copied(run, tmp_path / "copy")
    finished.check_network(finished.read(copy))
    shipping.restated(copy, **changes)
    with pytest.raises(ValueError, match=message):
        finished.check_network(finished.read(copy))


def test_only_fields_that_change_predictions_are_refused(run):
    told = finished.read(run)

    def check(**fields) -> None:
        finished.check_network(replace(told, manifest=replace(told.manifest, fields=fields)))

    check(zero_gamma=True, shortcut="A")
    for fields in ({"shortcut": "C"}, {"output_stride": 2}):
        with pytest.raises(ValueError, match=r"is not the resnet8 of the family.*: \w+="):
            check(**fields)


def test_other_data_are_refused(run, tmp_path):
    copy = shipping.copied(run, tmp_path / "copy")
    told = finished.read(copy)
    assert finished.open_checked(told, "digits", None).splits["test"].size == 360
    with pytest.raises(ValueError, match="was trained on digits, not on cifar10"):
        finished.open_checked(told, "cifar10", None)
    labels = tuple("abcdefghij")
    with pytest.raises(ValueError, match=r"the classes of digits here, 0, 1, .* run: a, b, c"):
        finished.open_checked(
            replace(told, manifest=replace(told.manifest, labels=labels)), None, None
        )
    data = json.loads((copy / "data.json").read_text())
    data["splits"]["test"]["size"] = 361
    (copy / "data.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match="test had 361 images and has 360"):
        finished.open_checked(told, None, None)
    recipe = {**told.recipe, "dataset": "folder"}
    with pytest.raises(ValueError, match="cannot be shipped: its data have no name"):
        finished.open_checked(replace(told, recipe=recipe), None, None)


def test_other_test_images_are_refused(run, tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "SHIPPED", tmp_path)
    test = datasets.load("digits", "test", None)
    told = finished.read(run)
    shuffled = replace(
        test, gather=lambda index: (test.gather(index)[0], test.gather(index)[1] * 0)
    )
    for other in (sample(test, 100), shuffled):
        with pytest.raises(ValueError, match="these are not its test images"):
            ship.ship(told, starts.read(run), other, "float16")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_float16_must_not_cost_accuracy(run, tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "SHIPPED", tmp_path / "shipped")
    copy = shipping.copied(run, tmp_path / "copy")
    shipping.faint_logits(copy)
    test = datasets.load("digits", "test", None)
    with pytest.raises(ValueError, match=r"float16 costs more than 0\.05 points: .*float32"):
        ship.ship(finished.read(copy), starts.read(copy), test, "float16")
    assert list((tmp_path / "shipped/digits").iterdir()) == []
    card = ship.ship(finished.read(copy), starts.read(copy), test, "float32")
    assert card.kernels == "float32"
    assert card.top1 == card.accuracy[1]["top1"]
    kernels = shipping.arrays(catalogue.place("digits", "resnet8"))
    for name, array in shipping.arrays(copy / "final.weights.h5").items():
        np.testing.assert_array_equal(kernels[name], array)


def test_a_file_of_a_large_network_is_refused(run, tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "SHIPPED", tmp_path)
    monkeypatch.setattr(catalogue, "MOST_BYTES", 100_000)
    test = datasets.load("digits", "test", None)
    with pytest.raises(ValueError, match=r"the file has 1\d\d,\d{3} bytes.* at most 100,000"):
        ship.ship(finished.read(run), starts.read(run), test, "float16")


CHANGED = {**shipping.START, "changed": True}
LATER = {**shipping.START, "after_step": 20}
UNKNOWN = {**shipping.START, "commit": ""}
ORIGINS = {
    "nothing": ((), UNTOLD, "is unknown.*give --commit, --precision, --hardware"),
    "half": ((), {**UNTOLD, "commit": "abc"}, "is unknown"),
    "unknown": ((UNKNOWN,), UNTOLD, "is unknown"),
    "later": ((LATER,), UNTOLD, "is unknown"),
    "twice": ((shipping.START,), TOLD, "records what --commit, .* would say: omit them"),
    "changed": ((CHANGED,), UNTOLD, "differed from its commit, 0123456789ab: .*--allow_changed"),
}


@pytest.mark.parametrize("name", ORIGINS)
def test_an_unknown_or_changed_commit_is_refused(tmp_path, name):
    rows, told, message = ORIGINS[name]
    shipping.started(tmp_path, *rows)
    with pytest.raises(ValueError, match=message):
        ship.origin(tmp_path, told, allow_changed=False)


def test_what_is_told_fills_what_is_not_recorded(tmp_path):
    shipping.started(tmp_path, LATER, {**UNKNOWN, "after_step": 40})
    found = ship.origin(tmp_path, TOLD, allow_changed=False)
    assert [(start.after_step, start.commit) for start in found] == [
        (0, "abc"),
        (20, shipping.COMMIT),
        (40, "abc"),
    ]
    assert found[2].hardware == "an abacus"
    shipping.started(tmp_path, CHANGED)
    [start] = ship.origin(tmp_path, UNTOLD, allow_changed=True)
    assert start.changed


REFUSED = {
    "dataset": (["--dataset=cifar10"], "was trained on digits, not on cifar10"),
    "told": (["--commit=abc"], "records what"),
    "kernels": (["--kernels=bfloat16"], "float16|float32"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_command_refuses_in_one_line(run, tmp_path, name):
    words, message = REFUSED[name]
    arguments = [str(tmp_path), "train.lab.ship", f"--workdir={run}", *words]
    done = helpers.module("tests.support.with_weights", *arguments)
    assert done.returncode == 1
    assert message in done.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_a_card_quotes_the_source_for_one_view() -> None:
    assert ship._published("cifar10_resnet20") == "test error 8.75 % (Table 6)"
    assert ship._published("imagenet_resnet50") == ""  # the paper has ten crops


def test_classes_get_their_names_where_a_copy_of_the_data_has_none() -> None:
    numbered = Manifest("resnet20", (32, 32, 3), tuple(map(str, range(10))), None)
    assert ship.named(numbered, "cifar10").labels == CIFAR10
    assert ship.named(numbered, "digits") == numbered
    own = replace(numbered, labels=tuple("abcdefghij"))
    assert ship.named(own, "cifar10") == own
