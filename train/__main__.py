"""From flags to a run: `python -m train --recipe=… --data_dir=… --workdir=…`."""

import json
import os
import sys
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tensorflow as tf
from absl import flags

from keras_resnet import console, family
from keras_resnet.models import flags as trained
from keras_resnet.weights import Told
from keras_resnet.weights.infer.authority import disagreements
from train import loop, recipes
from train.datasets import batches as pipeline, decoding, summary as found
from train.log import journal
from train.recipes.recipe import FLAGS as FIELDS, Recipe
from train.run import checkpoints, devices, interruption, kept, locks, memory, workdirs

FLAGS = flags.FLAGS


def define_flags() -> None:
    """The place of a run by hand; the fields of a recipe in one loop."""
    flags.DEFINE_enum("recipe", "digits_resnet20", list(recipes.RECIPES), "What to train.")
    flags.DEFINE_string("workdir", None, "Where the run writes, and resumes.", required=True)
    flags.DEFINE_string("data_dir", None, "Where the data set is; by default TFDS's own place.")
    flags.DEFINE_enum("strategy", "one", devices.STRATEGIES, "One device, or copies on several.")
    flags.DEFINE_integer("replicas", None, "How many copies; by default one for each GPU.", 1)
    flags.DEFINE_enum("device", None, devices.KINDS, "Default: GPUs, or the CPU if there are none.")
    flags.DEFINE_enum(
        "precision", "float32", devices.PRECISIONS, "Of activations; weights are float32."
    )
    flags.DEFINE_bool("jit_compile", False, "Compile forward, backward and update with XLA.")
    flags.DEFINE_integer("profile", 0, "Steps to record for TensorBoard's profiler.", 0)
    flags.DEFINE_bool("deterministic", False, "The same weights from the same seed; slower.")
    flags.DEFINE_multi_string("field", [], "A field of the network's spec, such as shortcut=C.")
    kinds = typing.get_type_hints(Recipe)
    for name, text in FIELDS.items():
        _define_field(name, kinds[name], f"{text} (by default as the recipe says)")


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


def recipe_from_flags() -> Recipe:
    """Returns the recipe that the flags name, with what they change.

    Raises:
        ValueError, TypeError: naming what came and what is allowed.
    """
    changes: dict[str, Any] = {name: FLAGS[name].value for name in FIELDS}
    changes = {name: value for name, value in changes.items() if value is not None}
    if "boundaries" in changes:
        changes["boundaries"] = _integers("boundaries", changes["boundaries"])
    if FLAGS.field:
        changes["fields"] = trained.parse_fields(FLAGS.field)
    if changes.get("init_weights"):
        old = workdirs.resumed(_workdir())
        same = old and old.init_weights == changes["init_weights"]
        changes |= _told_by_run(old, changes) if old and same else _told_by_weights(changes)
    return recipes.find(FLAGS.recipe, **changes)


def _workdir() -> Path:
    return Path(FLAGS.workdir).expanduser()


def _told_by_run(old: Recipe, changes: dict[str, Any]) -> dict[str, Any]:
    """What the first weights decided when the run in the workdir began: they may be gone."""
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


def _told_by_weights(changes: dict[str, Any]) -> dict[str, Any]:
    """What the first weights decide where flags do not: the network and how images are scaled."""
    mode, said = changes.get("preprocessing"), changes.get("fields", {})
    found = trained.describe(changes["init_weights"], Told(FLAGS.network, fields=said))
    if mode in (None, "weights"):
        _ = found.known_preprocessing()  # an error where nobody knows it
    height, width, _channels = found.image_shape
    if (not height or height != width) and "image_size" not in changes:
        sides = f"{height}x{width}" if height else "a size that nobody has said"
        raise ValueError(f"the weights are of images of {sides}, and recipes train on square ones:"
                         " give --image_size")  # fmt: skip
    return {
        "network": found.network,
        "fields": {**found.fields, **said},
        "preprocessing": mode or "weights",
        "image_size": changes.get("image_size", height),
        **({"quantize": True} if found.quantized else {}),
    }


def _integers(name: str, values: list[str]) -> tuple[int, ...]:
    try:
        return tuple(int(value) for value in values)
    except ValueError as error:
        raise ValueError(f"{name} must be integers, got {','.join(values)!r}") from error


def main() -> None:
    interruption.install()
    recipe = recipe_from_flags()
    devices.choose(FLAGS.device)
    strategy = devices.strategy(
        FLAGS.strategy, FLAGS.replicas, recipe.batch_size // recipe.micro_batches
    )
    interruption.renew()
    run = _run(recipe, strategy)
    try:
        with _held(run):
            workdirs.check(run.workdir, recipe)
            interruption.saved(max(checkpoints.steps(run.checkpoints), default=0))
            result = _result(_data(recipe, run), run)
    except loop.Stopped as stopped:
        console.say(str(stopped))
        if devices.workers(strategy)[1] == 1:
            interruption.leave(stopped.exit_code)
        sys.exit(stopped.exit_code)  # others wait for this worker to say goodbye
    interruption.over()
    if devices.workers(strategy)[0] == 0:
        print(json.dumps(result))


@contextmanager
def _held(run: loop.Run) -> Iterator[None]:
    """Creates the workdir and holds its lock, where this worker is the one that writes."""
    if devices.workers(run.strategy)[0]:
        yield
        return
    workdirs.create(run.workdir)
    with locks.held(run.workdir):
        yield


def _data(recipe: Recipe, run: loop.Run) -> pipeline.Data:
    """Opens the data; of a run that goes on it is compared with what the run began with."""
    old = kept.read(run.workdir) if workdirs.resumed(run.workdir) else None
    data = pipeline.open_data(recipe, FLAGS.data_dir, old.preprocessing if old else None)
    if devices.workers(run.strategy)[0] == 0:
        changed = kept.compare(old, data) if old else []
        for line in [*found.lines(recipe.dataset, FLAGS.data_dir, data.splits), *changed]:
            console.say(line)
    return data


def _run(recipe: Recipe, strategy: tf.distribute.Strategy) -> loop.Run:
    share = recipe.batch_size // strategy.num_replicas_in_sync
    if (recipe.mixup or recipe.cutmix) and share % 2:
        raise ValueError(f"mixup and cutmix need an even number of images a replica, got {share}")
    devices.check_options(recipe.sync_bn, recipe.micro_batches, jit_compile=FLAGS.jit_compile)
    if recipe.quantize and FLAGS.precision != "float32":
        raise ValueError(f"quantize needs precision=float32, got {FLAGS.precision}")
    devices.configure(FLAGS.precision, FLAGS.deterministic)
    return loop.Run(
        _workdir(), strategy, FLAGS.precision, FLAGS.jit_compile, FLAGS.profile, FLAGS.deterministic
    )


def _result(data: pipeline.Data, run: loop.Run) -> dict[str, Any]:
    """Follows the recipe to its end, or ends the process with what a user can do about it."""
    try:
        result = loop.fit(data, run)
    except journal.Diverged as error:
        newest = checkpoints.Checkpoints(run.checkpoints, {}).newest()
        sys.exit(f"error: {error}; newest whole checkpoint: {newest}")
    except devices.LOST:
        if devices.workers(run.strategy)[1] == 1:
            raise
        print("another worker was lost; start all of them again, with the same command, to go on"
              " from the last checkpoint", flush=True)  # fmt: skip
        sys.exit(os.EX_TEMPFAIL)
    except tf.errors.OpError as error:
        if told := memory.exhausted(error, data.recipe, run.strategy.num_replicas_in_sync):
            raise ValueError(told) from error
        if not decoding.damaged(error):
            raise
        raise ValueError(decoding.message(error)) from error
    return {**result, "examples": int(result["examples"])}


if __name__ == "__main__":
    define_flags()
    console.run(main)
