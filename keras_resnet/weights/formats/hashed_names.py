"""File names that end in the beginning of the file's SHA-256, by the rule of torch.hub."""

import re
from collections.abc import Callable
from pathlib import Path

# "resnet50-0676ba61.pth". A group of four digits before it makes it the end of a UUID.
HASHED = re.compile(r"(?<!-[0-9a-f]{4})-(?P<digits>[0-9a-f]{8,64})(\.[a-z]\w*){1,2}\Z")
OTHERS = (32, 40)  # digits of an MD5, and of a SHA-1


def digits(name: str) -> str:
    """Returns the digits in a name that must be a hash; "" where there are none.

    Digits without a letter can be a date or a step, such as in `run-20240315.pth`.
    """
    match = HASHED.search(name)
    if not match or match["digits"].isdigit() or len(match["digits"]) in OTHERS:
        return ""
    return match["digits"]


def check(path: Path, sha256: Callable[[], str]) -> None:
    """Compares a file with its name.

    Args:
        path: of the file.
        sha256: returns its hash; called only if the name has one.

    Raises:
        ValueError: if they differ.
    """
    told = digits(path.name)
    if told and not sha256().startswith(told):
        raise ValueError(
            f"{path} is damaged or was renamed: its name says {told}, its SHA-256 begins"
            f" {sha256()[: len(told)]}. Rename it to load it anyway"
        )
