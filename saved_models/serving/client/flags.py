"""The command-line flags of the client."""

import argparse
import sys
from pathlib import Path
from typing import Any, NoReturn

PROGRAM = "python -m saved_models.serving.client"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"error: {message}; see --help\n")
        sys.exit(2)


def _number(kind: type, least: float) -> Any:
    def number(text: str) -> Any:
        value = kind(text)
        if not least <= value < float("inf"):
            raise ValueError
        return value

    number.__name__ = f"number, {least:g} or more,"  # argparse: "invalid ... value"
    return number


def parse(text: str | None, arguments: list[str] | None) -> argparse.Namespace:
    """Returns the flags; an invalid one ends the process with one line on stderr, exit code 2.

    Args:
        text: the beginning of the help.
        arguments: of the command line; None for the process's own.
    """
    kept = argparse.RawDescriptionHelpFormatter
    parser = _Parser(prog=PROGRAM, description=text, formatter_class=kept, allow_abbrev=False)
    parser.add_argument("--server", required=True, help="HOST:PORT, or http://HOST:PORT for REST")
    parser.add_argument("--model", required=True, help="name of the model")
    version = parser.add_mutually_exclusive_group()
    version.add_argument("--version", type=_number(int, 0), help="default: the server's choice")
    version.add_argument("--version_label", help="a label of the server, such as stable")
    parser.add_argument("--batch_size", type=_number(int, 1), default=8, help="images per request")
    parser.add_argument("--concurrency", type=_number(int, 1), default=4, help="requests at a time")
    parser.add_argument(
        "--timeout", type=_number(float, 0.001), default=30.0, help="seconds per attempt"
    )
    parser.add_argument(
        "--retries", type=_number(int, 0), default=4, help="after transient failures"
    )
    parser.add_argument("--status", action="store_true", help="print the versions' states, and end")
    parser.add_argument("paths", nargs="*", type=Path, help="images, and folders of images")
    chosen = parser.parse_args(arguments)
    if chosen.status == bool(chosen.paths):
        parser.error("give images or folders of images, or else --status")
    return chosen
