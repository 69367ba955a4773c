"""The recipe that the flags choose, with what first weights decide."""

from pathlib import Path
from typing import Any

from absl import flags

from keras_resnet import family
from keras_resnet.models import weights_flags
from keras_resnet.weights import Told
from keras_resnet.weights.infer.authority import disagreements
from train import recipes
from train.command import flags as own
from train.recipes import length
from train.recipes.first_weights import FirstWeights
from train.recipes.recipe import Recipe
from train.run import workdirs

FLAGS = flags.FLAGS


def first_weights() -> FirstWeights | None:
    """Returns the weights of --init_weights, not yet opened; None without that flag."""
    return FirstWeights(FLAGS.init_weights, FLAGS.network) if FLAGS.init_weights else None


def workdir() -> Path | None:
    """Returns the directory of the run; None if none is given."""
    return Path(FLAGS.workdir).expanduser() if FLAGS.workdir else None


def recipe(first: FirstWeights | None = None) -> Recipe:
    """Returns the recipe that the flags name, with what they change; epochs are not counted yet.

    Args:
        first: the weights of --init_weights, if that is given.

    Raises:
        ValueError, TypeError: naming the value and what is allowed.
    """
    changes = own.changes()
    if FLAGS.field:
        changes["fields"] = weights_flags.parse_fields(FLAGS.field)
    if first:
        place = workdir()
        old = workdirs.resumed(place) if place else None
        if old and old.init_weights == changes["init_weights"]:
            changes |= _decided_by_run(old, changes)
        else:
            changes |= _decided_by_weights(first, changes)
    return recipes.find(FLAGS.recipe, **changes)


def counted(recipe: Recipe, examples: int) -> Recipe:
    """Returns the recipe with its length in steps.

    Args:
        recipe: as `recipe` returns it.
        examples: of the training split.

    Raises:
        ValueError: if so few steps leave no room between boundaries.
    """
    if own.counted_in_steps():
        return recipe
    kept = own.changes()
    if FLAGS.epochs is None:
        return length.for_data(recipe, recipes.EPOCHS[FLAGS.recipe], examples, kept)
    return length.in_epochs(recipe, FLAGS.epochs, examples, kept)


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
