"""Puts the network of a finished run, with its card, into the package.

`python -m train.lab.ship --workdir=… --data_dir=…`, and then `python -m docs.models`. The same run
gives the same bytes.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from absl import flags

from keras_resnet import console, labels
from keras_resnet.manifest import Manifest
from keras_resnet.models import from_weights
from keras_resnet.weights import catalogue
from keras_resnet.weights.catalogue import Card
from keras_resnet.weights.disk import digest, replacing
from train import recipes
from train.datasets.batches import eval_batches
from train.datasets.decoding import Broken, watched
from train.datasets.examples import Examples
from train.lab import compact, finished
from train.lab.finished import Finished
from train.log import history
from train.run import choices, starts
from train.run.starts import Start
from train.tasks import classification
from train.tasks.evaluation import eval_step, evaluate
from train.tasks.protocols import ONE_CROP

FLAGS = flags.FLAGS
KERNELS = ("float16", "float32")
MOST_LOST = 0.05  # points of accuracy that float16 may cost
MOST_APART = 0.5  # points between the run's own measure, in its precision, and float32
MOST_POINTS = 16  # of a curve in a card
BATCH = 100
NAMES = {"cifar10": labels.CIFAR10}
DIGITS = 4  # of an accuracy in percent, after the point


def define_flags() -> None:
    flags.DEFINE_string("workdir", None, "Directory of the finished run.", required=True)
    flags.DEFINE_string(
        "data_dir", None, "Directory of the data set. Default: that of TensorFlow Datasets."
    )
    flags.DEFINE_string(
        "dataset", None, "Data set that the run must have been trained on. Default: the run's."
    )
    flags.DEFINE_enum("kernels", "float16", KERNELS, "Type of the kernels in the file.")
    flags.DEFINE_string(
        "commit", None, "Commit of the code, of a run that does not record it in starts.jsonl."
    )
    flags.DEFINE_enum(
        "precision",
        None,
        choices.PRECISIONS,
        "Type of the activations, of a run that does not record it in starts.jsonl.",
    )
    flags.DEFINE_string(
        "hardware", None, "Number and name of the devices, of a run that does not record them."
    )
    flags.DEFINE_bool(
        "allow_changed",
        False,
        "Ship a run of code that differed from its commit; the card says so.",
    )


def main() -> None:
    workdir = Path(FLAGS.workdir).expanduser()
    told = {"commit": FLAGS.commit, "precision": FLAGS.precision, "hardware": FLAGS.hardware}
    run = finished.read(workdir)
    finished.check_network(run)
    begun = origin(workdir, told, allow_changed=FLAGS.allow_changed)
    data = finished.open_checked(run, FLAGS.dataset, FLAGS.data_dir)
    written = ship(run, begun, data.splits["test"], FLAGS.kernels)
    console.say(f"{written.name}: now write docs/models.md with python -m docs.models")
    print(json.dumps({"top1": written.top1, "bytes": written.bytes, "sha256": written.sha256}))


def origin(workdir: Path, told: Mapping[str, str | None], *, allow_changed: bool) -> list[Start]:
    """Returns from which code and on what a run was started, each time.

    Args:
        workdir: of the run.
        told: commit, precision and hardware, of a run that does not record them.
        allow_changed: whether the code may have differed from its commit.

    Raises:
        ValueError: if the commit is unknown or the code differed from it, and if `told` is missing,
            or given for a run that records them.
    """
    found = starts.read(workdir)
    whole = bool(found) and found[0].after_step == 0 and all(start.commit for start in found)
    given = {name: value for name, value in told.items() if value is not None}
    named = ", ".join(f"--{name}" for name in told)
    if whole and given:
        raise ValueError(f"the run in {workdir} records what {named} would say: omit them")
    if not whole and len(given) < len(told):
        raise ValueError(
            f"the commit of the run in {workdir} is unknown, since the run does not record it: give"
            f" {named}"
        )
    first = [] if found and found[0].after_step == 0 else [Start(0, "", "", False, "", "")]
    rows = [_stated(start, given) for start in [*first, *found]]
    changed = [start.commit[:12] for start in rows if start.changed]
    if changed and not allow_changed:
        raise ValueError(
            f"the code of the run in {workdir} differed from its commit, {', '.join(changed)}:"
            " train again from a commit, or give --allow_changed, which the card will say"
        )
    return rows


def _stated(start: Start, told: Mapping[str, str]) -> Start:
    """Returns a start with what is told of it, if its commit is unknown."""
    return (
        start
        if start.commit
        else Start(start.after_step, start.date, changed=start.changed, **told)
    )


@dataclass(frozen=True)
class Measured:
    """The accuracy of a file on all images of a split, computed in float32.

    Attributes:
        top1: in percent.
        images: number of images.
    """

    top1: float
    images: int


def ship(run: Finished, begun: list[Start], test: Examples, kernels: str) -> Card:
    """Writes the file of weights and its card into the package, and measures the file.

    Args:
        run: the finished run.
        begun: from which code and on what it was started, each time.
        test: all test images of its data set.
        kernels: type of the kernels in the file, "float16" or "float32".

    Returns:
        The card.

    Raises:
        ValueError: if the file is too large, float16 costs accuracy, or the test images are not
            those that the run measured itself on; nothing is written.
    """
    file = catalogue.place(run.dataset, run.network)
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as partial:
        compact.write(run.file, partial, kernels, named(run.manifest, run.dataset))
        own = measure(run.file, test)
        _check_own(run, own)
        shipped = measure(partial, test)
        _check_shipped(partial, shipped, own)
        card = _card(run, begun, kernels, shipped, own)
        card = replace(card, bytes=partial.stat().st_size, sha256=digest(partial))
    with replacing(file.with_name(f"{run.network}.json")) as partial:
        partial.write_text(card.to_json(), encoding="utf-8")
    return card


def named(manifest: Manifest, dataset: str) -> Manifest:
    """Returns a manifest with the names of classes, which a copy of the data set may lack."""
    names = NAMES.get(dataset, ())
    known = manifest.labels != labels.numbers(len(names))
    return manifest if known else replace(manifest, labels=names)


def measure(file: Path, examples: Examples) -> Measured:
    """Returns the accuracy of a file of weights, loaded as a user would, on all images.

    Raises:
        ValueError: if an image cannot be decoded.
    """
    model = from_weights(file, classifier_activation=None)
    assert model.manifest
    preprocess = model.manifest.known_preprocessing()
    task = replace(classification.task(), inputs=preprocess.normalize)
    broken = Broken()
    batches = eval_batches(examples, preprocess, BATCH, broken=broken)
    step = eval_step(tf.distribute.get_strategy(), model, task)
    result = evaluate(step, watched(batches, broken), task)
    return Measured(round(result[task.headline.name], DIGITS), int(result["examples"]))


def _check_own(run: Finished, own: Measured) -> None:
    then = Measured(run.result["top1"], int(run.result["examples"]))
    if own.images != then.images or abs(own.top1 - then.top1) > MOST_APART:
        raise ValueError(
            f"the run in {run.workdir} measured {then.top1:.2f} % on {then.images} test images,"
            f" and here they are {own.top1:.2f} % of {own.images}: these are not its test images"
        )


def _check_shipped(file: Path, shipped: Measured, own: Measured) -> None:
    if own.top1 - shipped.top1 > MOST_LOST:
        raise ValueError(
            f"float16 costs more than {MOST_LOST} points: {shipped.top1:.2f} % instead of"
            f" {own.top1:.2f} %; give --kernels=float32"
        )
    size = file.stat().st_size
    if size > catalogue.MOST_BYTES:
        raise ValueError(
            f"the file has {size:,} bytes, and a file in the package at most"
            f" {catalogue.MOST_BYTES:,}"
        )


def _card(
    run: Finished, begun: list[Start], kernels: str, shipped: Measured, own: Measured
) -> Card:
    """Returns the card but for size and hash of the file."""
    recipe, changes = finished.nearest_recipe(run)
    precision = ", ".join(dict.fromkeys(start.precision for start in begun))
    rows = {
        "this file, computed in float32": shipped,
        "the run's own float32 weights, computed in float32": own,
        f"by the run itself, computed in {precision}": Measured(
            round(run.result["top1"], DIGITS), int(run.result["examples"])
        ),
    }
    split, curve = _curve(run.workdir)
    return Card(
        network=run.network,
        fields=run.manifest.fields,
        dataset=run.dataset,
        classes=len(run.manifest.labels),
        recipe=recipe,
        changes=changes,
        published="" if {"network", "dataset"} & set(changes) else _published(recipe),
        command=command(recipe, changes, begun[-1].precision),
        seed=run.recipe["seed"],
        steps=run.recipe["steps"],
        starts=[asdict(start) for start in begun],
        kernels=kernels,
        accuracy=[{"protocol": name, "split": "test", **asdict(row)} for name, row in rows.items()],
        curve=curve,
        curve_split=split,
        bytes=0,
        sha256="",
    )


def _published(recipe: str) -> str:
    """Returns what the source of a recipe reached with one view of each image; "" without it."""
    found = [one for one in recipes.RECIPES[recipe].expected if one.protocol == ONE_CROP]
    return "; ".join(f"test error {100 - one.top1:.2f} % ({one.place})" for one in found)


def command(recipe: str, changes: Mapping[str, Any], precision: str) -> str:
    """Returns the command that trains again what a recipe with changed fields trained."""
    words = ["python -m train", f"--recipe={recipe}"]
    for name, value in changes.items():
        if name == "fields":
            words += [f"--field={field}={json.dumps(x)}" for field, x in value.items()]
        elif isinstance(value, list):
            words.append(f"--{name}={','.join(map(str, value))}")
        else:
            words.append(f"--{name}={json.dumps(value) if isinstance(value, bool) else value}")
    return " ".join([*words, f"--precision={precision}", "--data_dir=… --workdir=…"])


def _curve(workdir: Path) -> tuple[str, list[list[float]]]:
    """Returns the split of evaluations, and some points (step, training error, its error)."""
    curves, _ = history.read([workdir])
    errors = {curve.split: curve.points for curve in curves if curve.panel == history.ERROR}
    split = "validation" if "validation" in errors else "test"
    measured = errors[split]
    trained = errors["train"]
    count = measured.shape[1]
    chosen = np.unique(np.linspace(0, count - 1, min(count, MOST_POINTS)).round().astype(int))
    rows = []
    for step, error in measured[:, chosen].T:
        before = trained[:, trained[0] <= step]
        if before.size:
            rows.append([int(step), round(before[1, -1], 2), round(error, 2)])
    return split, rows


if __name__ == "__main__":
    define_flags()
    console.run(main)
