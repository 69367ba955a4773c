"""The flags of `python -m train`; nothing here waits for TensorFlow."""

import typing
from typing import Any

from absl import flags

from train import recipes
from train.recipes.recipe import HELP, Recipe
from train.run import choices

FLAGS = flags.FLAGS
# What people give who know another program, and mean a flag of this one.
ALIKE = {
    "accumulate": "micro_batches",
    "amp": "precision",
    "arch": "network",
    "batch": "batch_size",
    "bs": "batch_size",
    "checkpoint": "init_weights",
    "data": "data_dir",
    "data_path": "data_dir",
    "dtype": "precision",
    "fp16": "precision",
    "gpus": "replicas",
    "gradient_accumulation_steps": "micro_batches",
    "img_size": "image_size",
    "input_size": "image_size",
    "iterations": "steps",
    "logdir": "workdir",
    "lr": "learning_rate",
    "max_steps": "steps",
    "mixed_precision": "precision",
    "model": "network",
    "model_dir": "workdir",
    "n_epochs": "epochs",
    "num_epochs": "epochs",
    "num_gpus": "replicas",
    "num_steps": "steps",
    "out": "workdir",
    "output_dir": "workdir",
    "pretrained": "init_weights",
    "resolution": "image_size",
    "smoothing": "label_smoothing",
    "sync_batchnorm": "sync_bn",
    "train_steps": "steps",
    "warmup_epochs": "warmup_steps",
    "wd": "weight_decay",
    "weights": "init_weights",
    "xla": "jit_compile",
}


def define() -> None:
    """Defines the flags of a place by hand, and those of a recipe in one loop over its fields."""
    # Not an enum: absl would break the list of names in the middle of names.
    flags.DEFINE_string("recipe", "digits_resnet20", "What to train; --list_recipes lists all.")
    flags.DEFINE_string(
        "workdir",
        None,
        "Directory in which the run writes its files. The same command resumes the run in it.",
    )
    flags.DEFINE_string(
        "data_dir", None, "Directory of the data set. Default: that of TensorFlow Datasets."
    )
    flags.DEFINE_float(
        "epochs",
        None,
        "Length in passes over the training images, instead of --steps; the recipe's boundaries,"
        " warm-up and frozen steps then move in proportion, unless they are given. finetune: 30"
        " passes, from 50 to 1,000 steps.",
    )
    _define_place()
    flags.DEFINE_bool("list_recipes", False, "List the recipes, with sources and expectations.")
    flags.DEFINE_bool(
        "print_recipe", False, "Print every hyper-parameter as JSON, with all flags applied."
    )
    flags.DEFINE_bool(
        "dry_run",
        False,
        "Open the data, take a few steps, and say what the run would take and write; the workdir is"
        " left alone.",
    )
    flags.DEFINE_multi_string(
        "field",
        [],
        "A field of the network's spec that differs, such as shortcut=C",  # absl ends the sentence
    )
    kinds = typing.get_type_hints(Recipe)
    for name, text in HELP.items():
        _define_field(name, kinds[name], f"{text} Default: the recipe's.")


def _define_place() -> None:
    flags.DEFINE_enum(
        "strategy",
        "one",
        choices.STRATEGIES,
        "One device, all GPUs of this machine, several workers that TF_CONFIG lists, or a TPU"
        " (untested).",
    )
    flags.DEFINE_integer(
        "replicas", None, "Number of replicas of strategy=mirrored. Default: one per GPU.", 1
    )
    flags.DEFINE_enum(
        "device",
        None,
        choices.KINDS,
        "Kind of device. Default: GPUs if there are any, else the CPU.",
    )
    flags.DEFINE_enum(
        "precision",
        "float32",
        choices.PRECISIONS,
        "Type of the activations. Weights are always float32.",
    )
    flags.DEFINE_bool("jit_compile", False, "Compile forward, backward and update with XLA.")
    flags.DEFINE_integer("profile", 0, "Number of steps to record for TensorBoard's profiler.", 0)
    flags.DEFINE_bool(
        "deterministic", False, "Give the same weights for the same seed, at a lower speed."
    )


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


def changes() -> dict[str, Any]:
    """Returns the fields of the recipe that flags change, but for those of the spec.

    Raises:
        ValueError: for boundaries that are not integers.
    """
    given = {name: FLAGS[name].value for name in HELP}
    found: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if "boundaries" in found:
        found["boundaries"] = _integers("boundaries", found["boundaries"])
    return found


def counted_in_steps() -> bool:
    """Whether the length of the run is known before the size of its data.

    Raises:
        ValueError: if it is given twice, and for a number of epochs that is not positive.
    """
    if FLAGS.epochs is None:
        return FLAGS.steps is not None or FLAGS.recipe not in recipes.EPOCHS
    if FLAGS.steps is not None:
        raise ValueError(
            f"--epochs={FLAGS.epochs:g} and --steps={FLAGS.steps} are two lengths of one run: give"
            " one of them"
        )
    if not 0 < FLAGS.epochs < float("inf"):
        raise ValueError(f"epochs must be above 0, got {FLAGS.epochs:g}")
    return False


def _integers(name: str, values: list[str]) -> tuple[int, ...]:
    try:
        return tuple(int(value) for value in values)
    except ValueError as error:
        raise ValueError(f"{name} must be integers, got {','.join(values)!r}") from error
