"""Packages that a format needs and that are not installed with the library."""

import importlib.util
from collections.abc import Mapping


def require(name: str, packages: Mapping[str, str], extra: str) -> None:
    """Raises ValueError, which names the format, if a package is missing.

    Args:
        name: of the format that needs them.
        packages: names by which they are installed, by names of modules.
        extra: of this package, that brings them.
    """
    missing = [told for module, told in packages.items() if not importlib.util.find_spec(module)]
    if missing:
        raise ValueError(
            f"{name} needs {', '.join(missing)}: pip install 'he-keras-resnet[{extra}]'"
        )
