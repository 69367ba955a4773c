"""From flags to a run: `python -m train --recipe=… --data_dir=… --workdir=…`."""

import json
import os
import sys
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import tensorflow as tf
from absl import flags

from keras_resnet import console, family
from keras_resnet.models import weights_flags
from keras_resnet.preprocessing.decoding import errors
from keras_resnet.weights import Told
from keras_resnet.weights.infer.authority import disagreements
from train import loop, recipes
from train.datasets import summary
from train.datasets.record_files import Crew
from train.log import journal
from train.recipes import plan, validity
from train.recipes.data import Data, open_data
from train.recipes.first_weights import FirstWeights
from train.recipes.recipe import HELP, Recipe
from train.run import (
    checkpoints,
    data_file,
    devices,
    interruption,
    locks,
    machine,
    memory,
    workdirs,
)

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags of a place by hand, and those of a recipe in one loop over its fields."""
    # Not an enum: absl would break the list of names in the middle of names.
    flags.DEFINE_string(
        "recipe", "digits_resnet20", f"What to train: {', '.join(recipes.RECIPES)}."
    )
    flags.DEFINE_string(
        "workdir",
        None,
        "Directory in which the run writes its files. The same command resumes the run in it.",
        required=True,
    )
    flags.DEFINE_string(
        "data_dir", None, "Directory of the data set. Default: that of TensorFlow Datasets."
    )
    flags.DEFINE_enum(
        "strategy",
        "one",
        devices.STRATEGIES,
        "One device, all GPUs of this machine, several workers that TF_CONFIG lists, or a TPU"
        " (untested).",
    )
    flags.DEFINE_integer(
        "replicas", None, "Number of replicas of strategy=mirrored. Default: one per GPU.", 1
    )
    flags.DEFINE_enum(
        "device",
        None,
        devices.KINDS,
        "Kind of device. Default: GPUs if there are any, else the CPU.",
    )
    flags.DEFINE_enum(
        "precision",
        "float32",
        devices.PRECISIONS,
        "Type of the activations. Weights are always float32.",
    )
    flags.DEFINE_bool("jit_compile", False, "Compile forward, backward and update with XLA.")
    flags.DEFINE_integer("profile", 0, "Number of steps to record for TensorBoard's profiler.", 0)
    flags.DEFINE_bool(
        "deterministic", False, "Give the same weights for the same seed, at a lower speed."
    )
    flags.DEFINE_multi_string(
        "field",
        [],
        "A field of the network's spec that differs, such as shortcut=C",  # absl ends the sentence
    )
    kinds = typing.get_type_hints(Recipe)
    for name, text in HELP.items():
        _define_field(name, kinds[name], f"{text} Default: the recipe's.")


def _define_field(name: str, kind: Any, text: str) -> None:
    if typing.get_origin(kind) is typing.Literal:
        flags.DEFINE_enum(name, None, typing.get_args(kind), text)
    elif typing.get_origin(kind) is tuple:
        flags.DEFINE_list(name, None, text)
    else:
        define: dict[Any, Any] = {
            bool: flags.DEFINE_bool,
            int: flags.DEFINE_integer,
            float: flags.DEFINE_float,
            str: flags.DEFINE_string,
        }
        define[kind](name, None, text)


def recipe_from_flags(first: FirstWeights | None = None) -> Recipe:
    """Returns the recipe that the flags name, with what they change.

    Args:
        first: the weights of --init_weights, if that is given.

    Raises:
        ValueError, TypeError: naming the value and what is allowed.
    """
    changes: dict[str, Any] = {name: FLAGS[name].value for name in HELP}
    changes = {name: value for name, value in changes.items() if value is not None}
    if "boundaries" in changes:
        changes["boundaries"] = _integers("boundaries", changes["boundaries"])
    if FLAGS.field:
        changes["fields"] = weights_flags.parse_fields(FLAGS.field)
    if first:
        old = workdirs.resumed(_workdir())
        if old and old.init_weights == changes["init_weights"]:
            changes |= _decided_by_run(old, changes)
        else:
            changes |= _decided_by_weights(first, changes)
    return recipes.find(FLAGS.recipe, **changes)


def first_weights() -> FirstWeights | None:
    """Returns the weights of --init_weights, not yet opened; None without that flag."""
    return FirstWeights(FLAGS.init_weights, FLAGS.network) if FLAGS.init_weights else None


def _workdir() -> Path:
    return Path(FLAGS.workdir).expanduser()


def _decided_by_run(old: Recipe, changes: dict[str, Any]) -> dict[str, Any]:
    """Returns what the first weights decided when the run began: the file may be missing now."""
    fields = {**old.fields, **changes.get("fields", {})}
    named = FLAGS.network or old.network
    alike = not disagreements(family.spec(named, **fields), family.spec(old.network, **fields))
    return {
        "network": old.network if alike else named,
        "fields": fields,
        "preprocessing": changes.get("preprocessing") or "weights",
        "image_size": changes.get("image_size", old.image_size),
        "quantize": changes.get("quantize", old.quantize),
    }


def _decided_by_weights(first: FirstWeights, changes: dict[str, Any]) -> dict[str, Any]:
    """Returns what the first weights decide where flags do not: network, preprocessing and size."""
    mode = changes.get("preprocessing")
    said = changes.get("fields", {})
    found = first.held.settle(Told(FLAGS.network, fields=said))
    if mode in (None, "weights"):
        _ = found.known_preprocessing()  # raises an error if nobody knows it
    height, width, _channels = found.image_shape
    if (not height or height != width) and "image_size" not in changes:
        sides = f"{height}x{width} pixels" if height else "unknown size"
        raise ValueError(
            f"the weights are for images of {sides}, and recipes train on square images: give"
            " --image_size"
        )
    told = {
        "network": found.network,
        "fields": {**found.fields, **said},
        "preprocessing": mode or "weights",
        "image_size": changes.get("image_size", height),
    }
    if found.quantized:
        told["quantize"] = True
    return told


def _integers(name: str, values: list[str]) -> tuple[int, ...]:
    try:
        return tuple(int(value) for value in values)
    except ValueError as error:
        raise ValueError(f"{name} must be integers, got {','.join(values)!r}") from error


def main() -> None:
    interruption.install()
    machine.keep_freed_memory()
    first = first_weights()
    recipe = recipe_from_flags(first)
    devices.choose(FLAGS.device)
    replicas = devices.count(FLAGS.strategy, FLAGS.replicas)
    validity.check(
        recipe, replicas=replicas, precision=FLAGS.precision, jit_compile=FLAGS.jit_compile
    )
    run = _run(devices.strategy(FLAGS.strategy, replicas))
    interruption.renew()
    try:
        with _locked(run):
            workdirs.check(run.workdir, recipe, plan.task(recipe).headline)
            interruption.saved(max(checkpoints.steps(run.checkpoints), default=0))
            result = _trained(_opened_data(recipe, run, first), run)
    except loop.Stopped as stopped:
        console.say(str(stopped))
        if devices.num_workers(run.strategy) == 1:
            interruption.leave(stopped.exit_code)
        sys.exit(stopped.exit_code)  # other workers wait until this one has closed its connections
    interruption.over()
    if devices.is_chief(run.strategy):
        print(json.dumps(result))


def _run(strategy: tf.distribute.Strategy) -> loop.Run:
    devices.configure(FLAGS.precision, FLAGS.deterministic)
    return loop.Run(
        _workdir(), strategy, FLAGS.precision, FLAGS.jit_compile, FLAGS.profile, FLAGS.deterministic
    )


@contextmanager
def _locked(run: loop.Run) -> Iterator[None]:
    """Creates the workdir and holds its lock, if this worker is the one that writes."""
    if not devices.is_chief(run.strategy):
        yield
        return
    workdirs.create(run.workdir)
    with locks.held(run.workdir):
        yield


def _opened_data(recipe: Recipe, run: loop.Run, first: FirstWeights | None) -> Data:
    """Opens the data; that of a resumed run is compared with what the run began with."""
    old = data_file.read(run.workdir) if workdirs.resumed(run.workdir) else None
    kept = old.preprocessing if old else None
    strategy = run.strategy
    crew = Crew(devices.worker(strategy), devices.num_workers(strategy), devices.total(strategy))
    try:
        data = open_data(recipe, FLAGS.data_dir, kept, first, crew)
    except devices.WorkerLost:
        _leave_lost()
    if devices.is_chief(run.strategy):
        changed = data_file.compare(old, data) if old else []
        for line in [*summary.lines(recipe.dataset, FLAGS.data_dir, data.splits), *changed]:
            console.say(line)
    return data


def _trained(data: Data, run: loop.Run) -> dict[str, Any]:
    """Follows the recipe to its end; an error ends the process and says what can be done."""
    try:
        result = loop.fit(data, run)
    except journal.Diverged as error:
        newest = checkpoints.Checkpoints(run.checkpoints, {}).newest()
        sys.exit(f"error: {error}; newest whole checkpoint: {newest}")
    except devices.LOST:
        if devices.num_workers(run.strategy) == 1:
            raise
        _leave_lost()
    except tf.errors.OpError as error:
        if told := _advice(error, data, run):
            raise ValueError(told) from error
        raise
    return {**result, "examples": int(result["examples"])}


def _leave_lost() -> NoReturn:
    print(
        "another worker was lost; start all of them again, with the same command, to go on"
        " from the last checkpoint",
        flush=True,
    )
    sys.exit(os.EX_TEMPFAIL)


def _advice(error: tf.errors.OpError, data: Data, run: loop.Run) -> str:
    """Returns what to say of an error that a user can do something about, and "" for others."""
    if errors.damaged(error):
        return errors.message(error)
    return memory.exhausted(error, plan.batching(data.recipe), run.strategy.num_replicas_in_sync)


if __name__ == "__main__":
    define_flags()
    console.run(main)
