"""Packages that a format needs and that are not installed with the library."""

import importlib.util
from collections.abc import Mapping

__all__ = ["require"]


def require(name: str, packages: Mapping[str, str], extra: str) -> None:
    """Checks that the packages of a format are installed.

    Args:
        name: of the format, for the error.
        packages: modules to import, each with the name of the package that has it.
        extra: the extra of this library that installs all of them.

    Raises:
        ValueError: naming the format, the missing packages, and the command that installs them.
    """
    missing = [
        package for module, package in packages.items() if not importlib.util.find_spec(module)
    ]
    if missing:
        raise ValueError(
            f"{name} needs {', '.join(missing)}: pip install 'he-keras-resnet[{extra}]'"
        )
