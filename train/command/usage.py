"""What `python -m train --help` prints: flags in groups, with the defaults of a recipe."""

import re
import textwrap
from collections.abc import Sequence
from typing import Any

from absl import flags

from train import recipes
from train.recipes.recipe import HELP, Recipe

FLAGS = flags.FLAGS
WIDTH = 100
INDENT = 26
HEAD = """\
Trains a network by a recipe: python -m train --recipe=NAME --data_dir=DIR --workdir=DIR

The same command resumes a run. Each hyper-parameter of a recipe is a flag; see docs/training.md.

Examples
  A minute, no data needed:
    python -m train --workdir=runs/digits
  Photos in photos/CLASS/x.jpg, from the weights of ImageNet:
    python -m train --recipe=finetune --data_dir=photos --workdir=runs/mine
  Devices, memory and time of a run, without the run:
    python -m train --recipe=cifar10_resnet20 --workdir=runs/resnet20 --dry_run
  All GPUs of a machine:
    python -m train --recipe=imagenet_resnet50 --strategy=mirrored --precision=bfloat16 \\
      --jit_compile --workdir=runs/resnet50
  The defaults of a recipe, below:
    python -m train --recipe=finetune --help
"""
GROUPS = {
    "What to train": "recipe network field dataset data_dir validation max_broken seed",
    "Where": "workdir strategy replicas device precision jit_compile deterministic profile",
    "Look before you train": "list_recipes print_recipe dry_run verbose",
    "How long, and how often it reports": "epochs steps log_every eval_every save_every",
    "Fine-tuning": "init_weights freeze freeze_steps stage_rate quantize",
    "Learning rate": "learning_rate schedule boundaries warmup warmup_steps warmup_rate"
    " warmup_error",
    "Update": "batch_size micro_batches optimizer momentum nesterov weight_decay decay_norms trust"
    " clip_norm ema sync_bn precise_bn",
    "Loss": "loss label_smoothing target_threshold",
    "Images": "image_size test_size crop preprocessing augmentation colour policy magnitude erasing"
    " mixup cutmix repeats",
}


def text(arguments: list[str]) -> str:
    """Returns the help.

    Args:
        arguments: of the command, without --help; --recipe chooses whose defaults are shown.

    Raises:
        ValueError: for an unknown recipe.
    """
    FLAGS(arguments)
    recipe = recipes.find(FLAGS.recipe)
    blocks = [HEAD.rstrip()]
    for title, names in GROUPS.items():
        rows = [_row(FLAGS[name], recipe) for name in names.split()]
        blocks.append("\n".join([title, *rows]))
    blocks.append(f"In brackets: the defaults, of fields of a recipe those of {FLAGS.recipe}.")
    return "\n\n".join(blocks)


def _row(flag: flags.Flag, recipe: Recipe) -> str:
    told = flag.help.partition(";\n")[0].removesuffix(" Default: the recipe's.")
    told = re.sub(r"^<[\w|]+>: ", "", told)  # absl puts the values before the help of an enum
    shown = _shown(_default(flag, recipe))
    lines = textwrap.wrap(
        told + (f" [{shown}]" if shown else ""),
        WIDTH - INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
    head = f"  --{_named(flag, negated=shown == 'yes')}"
    if len(head) < INDENT:
        lines[0] = f"{head:<{INDENT}}{lines[0]}"
        head, *lines = lines
    return "\n".join([head, *(" " * INDENT + line for line in lines)])


def _default(flag: flags.Flag, recipe: Recipe) -> Any:
    """Returns the default, which for a field of a recipe is the recipe's."""
    epochs = recipes.EPOCHS.get(FLAGS.recipe)
    if flag.name == "epochs":
        return epochs
    if flag.name == "steps" and epochs:
        return None
    return getattr(recipe, flag.name) if flag.name in HELP else flag.default


def _named(flag: flags.Flag, *, negated: bool) -> str:
    if flag.boolean:
        return f"[no]{flag.name}" if negated else flag.name
    if isinstance(flag, flags.EnumFlag):
        return f"{flag.name}={'|'.join(flag.parser.enum_values)}"
    kinds = {"int": "N", "float": "X", "comma separated list of strings": "A,B"}
    return f"{flag.name}={kinds.get(flag.flag_type(), '…')}"


def _shown(default: Any) -> str:
    if isinstance(default, bool):
        return "yes" if default else ""
    if isinstance(default, Sequence) and not isinstance(default, str):
        return ",".join(map(str, default))
    if isinstance(default, float):
        return f"{default:g}"
    return "" if default is None else str(default)
