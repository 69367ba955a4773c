"""File names that end in the first digits of the SHA-256 of the file, as in torch.hub."""

import re
from collections.abc import Callable
from pathlib import Path

# "resnet50-0676ba61.pth". After a group of four digits it is the end of a UUID.
HASHED = re.compile(r"(?<!-[0-9a-f]{4})-(?P<digits>[0-9a-f]{8,64})(\.[a-z]\w*){1,2}\Z")
OTHERS = (32, 40)  # lengths of MD5 and SHA-1


def digits(name: str) -> str:
    """Returns the digits of the hash in a name; "" without a hash.

    Digits without a letter may be a date or a step, as in `run-20240315.pth`, and are ignored.
    """
    match = HASHED.search(name)
    if not match or match["digits"].isdigit() or len(match["digits"]) in OTHERS:
        return ""
    return match["digits"]


def check(path: Path, sha256: Callable[[], str]) -> None:
    """Compares the hash of a file with that in its name.

    Args:
        path: of the file.
        sha256: returns the hash; only called if the name contains one.

    Raises:
        ValueError: if they differ.
    """
    told = digits(path.name)
    if told and not sha256().startswith(told):
        raise ValueError(
            f"{path} is damaged or was renamed: its name ends in {told}, its SHA-256 begins with"
            f" {sha256()[: len(told)]}. Rename it to load it anyway"
        )
