"""`keras-resnet COMMAND ...`: finds the command, and imports only what it needs."""

import difflib
import importlib
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from keras_resnet import console

__all__ = ["COMMANDS", "main"]

# Each is a module of this folder with `HELP`, `ALIKE` (see `console.Help`), `define_flags`, `main`,
# and `WORDS`, the most arguments besides flags.
COMMANDS = {
    "predict": "what is on photos: labels and probabilities",
    "list": "the networks: size, cost, published errors, weights",
    "info": "what a file of weights or an export holds",
    "cost": "parameters and multiply-adds of a network, part by part",
}
MODULES = {"list": "listing"}  # where a command has the name of something of Python's
HELP = {"help", "--help", "-help", "-h", "-?", "--helpfull", "--helpshort"}
USAGE = f"""\
keras-resnet COMMAND ...      also: python -m keras_resnet COMMAND ...

{chr(10).join(f"  {name:<9}{text}" for name, text in COMMANDS.items())}

Examples
  keras-resnet predict --weights=imagenet --network=resnet50 photo.jpg
  keras-resnet list resnet50
  keras-resnet info resnet50-0676ba61.pth
  keras-resnet predict --help

Other commands: python -m keras_resnet.export; in a checkout python -m train and
python -m train.evaluate."""


def main() -> NoReturn:
    """Runs the command that the arguments of the process name, and ends the process."""
    name, *rest = sys.argv[1:] or [""]
    if not name:
        print(USAGE, file=sys.stderr)
        sys.exit(1)
    if name in HELP:
        _show(USAGE)
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, 1)
        hint = f": did you mean {near[0]}?" if near else f"; commands are {', '.join(COMMANDS)}."
        console.fail(f"unknown command {name!r}{hint} See keras-resnet --help")
    command = importlib.import_module(f"keras_resnet.command.{MODULES.get(name, name)}")
    if HELP & {*rest}:
        _show(command.HELP)
    sys.argv = [f"keras-resnet {name}", *rest]
    command.define_flags()
    about = console.Help(alike=command.ALIKE)
    console.run(_while_read(command.main), about, words=command.WORDS)
    raise AssertionError("a command ends the process")


def _show(text: str) -> NoReturn:
    _while_read(print)(text)
    sys.exit(0)


def _while_read(run: Callable[..., None]) -> Callable[..., None]:
    """Ends the process quietly after the reader of its output, such as `head`, has gone."""

    def wrapped(*words: str) -> None:
        try:
            run(*words)
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.exit(141)

    return wrapped
